"""Events and commands: structs with a name."""

from typing import Any

import msgspec
import pytest

from realtime.topics import Command, Event
from realtime.wire.tags import name_of


class OrderPaid(Event):
    """Has two words."""

    total: int
    name: str = ""


class Moved(Event, name="order.moved"):
    """Has a name of its own."""


class Child(Moved):
    """Does not inherit it."""


class Plain(msgspec.Struct):
    """No event."""


@pytest.mark.parametrize(
    ("struct", "name"),
    [(OrderPaid, "order_paid"), (Moved, "order.moved"), (Child, "child"), (Plain, "plain")],
)
def test_a_struct_has_a_name(struct: type[msgspec.Struct], name: str) -> None:
    assert name_of(struct) == name


def test_a_field_may_be_called_as_a_field_of_the_protocol() -> None:
    """Those are outside of `data`."""

    class Bought(Command):
        type: str
        ref: int
        id: int = 0

    assert msgspec.json.encode(OrderPaid(1, "x")) == b'{"total":1,"name":"x"}'
    assert msgspec.to_builtins(Bought("a", 1)) == {"type": "a", "ref": 1, "id": 0}


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\n", "é\0"])
def test_a_name_that_cannot_be_sent_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=r"^Bad has the name .+: write 1 to 64 letters"):
        type(Event)("Bad", (Event,), {"__module__": __name__}, name=name)


@pytest.mark.parametrize("option", [{"tag": "x"}, {"tag_field": "x"}, {"array_like": True}])
def test_options_that_change_the_object_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="its fields are an object in `data`"):
        type(Event)("Bad", (Event,), {"__module__": __name__}, **option)
