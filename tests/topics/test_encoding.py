"""The fields of an event as JSON, and back."""

import enum
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db.models import TextChoices
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _

from realtime.topics import Event, InvalidEvent
from realtime.topics.encoding import MAX_EVENT_BYTES, event_of, text_of
from realtime.topics.structs import EventTooLarge


class Place(msgspec.Struct):
    """A part of an event."""

    row: int
    label: str = ""


class Seat(enum.Enum):
    """A plain enum."""

    WINDOW = "w"


class Kind(TextChoices):
    """An enum of Django."""

    CARD = "card", "Card"


class Everything(Event):
    """One field of each type."""

    text: str = ""
    number: float = 0
    total: Decimal = Decimal(0)
    at: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    uid: UUID | None = None
    seat: Seat | None = None
    kind: Kind | None = None
    places: list[Place] = []
    pair: tuple[int, int] = (0, 0)
    tags: set[str] = set()
    names: dict[int, str] = {}
    more: Any = None


WHOLE = Everything(
    text="hé\n",
    number=1.5,
    total=Decimal("12.50"),
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    day=date(2026, 1, 2),
    span=timedelta(seconds=90),
    uid=UUID(int=7),
    seat=Seat.WINDOW,
    kind=Kind.CARD,
    places=[Place(1, "a")],
    pair=(1, 2),
    tags={"x"},
    names={1: "one"},
    more=[1, {"a": None}, True],
)


def test_each_type_arrives_and_returns() -> None:
    assert event_of(text_of(WHOLE), Everything) == WHOLE


def test_types_of_django_are_text() -> None:
    event = Everything(text=mark_safe("<b>"), more=_("Guest"), places=[Place(1, mark_safe("x"))])
    data = json.loads(text_of(event))
    assert (data["text"], data["more"], data["places"][0]["label"]) == ("<b>", "Guest", "x")


def test_a_number_for_a_decimal_becomes_text() -> None:
    """Clients and the schema get one type, whatever the code has given."""
    assert json.loads(text_of(Everything(total=1.5)))["total"] == "1.5"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"text": 1}, "Expected `str`, got `int` - at `$.text`"),
        ({"places": [{"row": "x"}]}, "Expected `int`, got `str` - at `$.places[0].row`"),
        ({"number": float("nan")}, "Numbers must be finite."),
        ({"more": {"a": float("inf")}}, "Numbers must be finite."),
        ({"more": 2**53}, "Integers must be within"),
        ({"text": "a\0b"}, "Text must not contain NUL characters."),
        ({"text": "\ud800"}, "Text must be valid Unicode."),
        ({"more": object()}, "a value of the type object is not JSON"),
        ({"more": ValueError}, "a value of the type type is not JSON"),
        ({"pair": (1, 2, 3)}, "Expected `array` of length 2"),
    ],
)
def test_a_wrong_value_is_told(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        text_of(Everything(**fields))
    assert str(caught.value).startswith("Everything cannot be published")
    assert fault in str(caught.value)


def test_a_value_that_contains_itself_is_told() -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(InvalidEvent):
        text_of(Everything(more=deep))


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES, 10 * MAX_EVENT_BYTES])
def test_an_event_has_a_largest_size(size: int) -> None:
    with pytest.raises(EventTooLarge, match="65536 bytes"):
        text_of(Everything(text="x" * size))
    assert text_of(Everything(text="x" * (MAX_EVENT_BYTES - 400)))
