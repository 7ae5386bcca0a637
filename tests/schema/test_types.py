"""The schemas of types are those of msgspec, but for what `types.py` says."""

import json
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import cleandoc
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Raw, Struct

from realtime.schema.components import Components, with_prefix

T = TypeVar("T")
LEFT_OUT = ("title", "discriminator")
TIMES = ("date-time", "time")


class Number(Enum):
    """Numbers."""

    TWO = 2
    ONE = 1


class Inner(Struct, forbid_unknown_fields=True):
    """What is inside.

    And a second line.
    """

    value: int


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Typed(TypedDict, total=False):
    name: str


@dataclass
class Data:
    name: str
    size: int = 3


class Listed(Struct, array_like=True):
    first: int
    second: int = 2


class Tagged(Struct, tag="one"):
    a: int


class Other(Struct, tag="two"):
    a: int


class Box(Struct, Generic[T]):
    content: T


class Wide(Struct):
    """Has every kind of field."""

    anything: Any
    scalars: tuple[bool, float, bytes, datetime, date, time, timedelta, UUID, Decimal, None]
    bounded: Annotated[int, Meta(ge=1, lt=9)]
    text: Annotated[str, Meta(min_length=1, max_length=9, pattern="^a")]
    many: Annotated[list[Inner], Meta(max_length=3)]
    unique: set[int]
    mapped: dict[str, Inner]
    free: dict[str, Any]
    literal: Literal["a", 1]
    inner: Inner | None
    union: Tagged | Other | int
    number: Number
    pair: Pair
    typed: Typed
    data: Data
    listed: Listed
    box: Box[int]
    described: Annotated[int, Meta(description="A number.", examples=[1])] = 1
    default: list[int] = []
    moment: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)


def of_msgspec(struct: Any) -> dict[str, Any]:
    """Return the schemas of msgspec; the name of `Box[int]` is not one of its type alone."""
    _, found = msgspec.json.schema_components([struct], ref_template="{name}")
    text = json.dumps(found).replace("Box_int_", "BoxInt")
    return {name: comparable(schema) for name, schema in json.loads(text).items()}


def comparable(value: Any) -> Any:
    """Return a schema with sorted alternatives, without what `types.py` writes in another way."""
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: comparable(one) for key, one in value.items() if key not in LEFT_OUT}
    if isinstance(options := found.get("anyOf"), list):  # msgspec puts structs in their own group
        flat = [inner for one in options for inner in one.get("anyOf", [one])]
        found["anyOf"] = sorted(flat, key=str)
    if found.get("format") in TIMES:
        del found["format"]
    if "enum" in found:
        found["enum"] = sorted(found["enum"], key=str)
    if isinstance(text := found.get("description"), str):
        found["description"] = cleandoc(text)
    return found


def test_the_schema_of_every_kind_of_field_is_that_of_msgspec() -> None:
    made = comparable(Components.of([Wide]).schemas)
    assert made == of_msgspec(Wide)


def test_a_time_has_its_format_also_if_it_may_be_without_a_zone() -> None:
    class When(Struct):
        at: datetime

    [field] = Components.of([When]).schemas["When"]["properties"].values()
    assert field == {"type": "string", "format": "date-time"}


def test_a_field_that_is_left_out_when_it_is_none_is_never_null() -> None:
    class Frame(Struct, omit_defaults=True):
        known: int | None = None
        either: int | str | None = None
        zero: int = 0

    properties = Components.of([Frame]).schemas["Frame"]["properties"]
    assert properties == {
        "known": {"type": "integer"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "zero": {"type": "integer", "default": 0},
    }


def test_a_default_without_json_is_left_out() -> None:
    class Frame(Struct):
        data: Raw = Raw(b"")

    assert Components.of([Frame]).schemas["Frame"]["properties"] == {"data": {}}


def test_a_type_of_the_sites_own_may_be_anything() -> None:
    class Money:
        pass

    class Price(Struct):
        amount: Money

    [field] = Components.of([Price]).schemas["Price"]["properties"].values()
    assert list(field) == ["description"]


def test_a_struct_may_contain_itself() -> None:
    assert Components.of([Node]).schemas["Node"]["properties"]["next"] == {
        "anyOf": [{"$ref": "Node"}, {"type": "null"}],
        "default": None,
    }


class Node(Struct):
    next: "Node | None" = None


def test_a_field_may_be_called_as_a_keyword_of_schemas() -> None:
    odd = msgspec.defstruct("Odd", [("a", int, msgspec.field(name="$ref"))])
    schema = Components.of([odd]).schemas["Odd"]
    assert with_prefix(schema, "#/")["properties"] == {"$ref": {"type": "integer"}}


@pytest.mark.parametrize("made", [namedtuple("Made", "a"), Number])
def test_docstrings_that_python_made_are_no_descriptions(made: Any) -> None:
    holder = msgspec.defstruct("Holder", [("one", made)])
    schemas = Components.of([holder]).schemas
    assert schemas[made.__name__].get("description") in (None, "Numbers.")
