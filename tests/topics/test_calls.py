"""Commands of topics: bound by annotation, decoded with paths, answered with structs."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from realtime import consumers
from realtime.errors import CommandError, ErrorCode
from realtime.topics import Command, Cost, Event, InvalidEvent, Topic, command
from realtime.topics.calls import MAX_REPLY_BYTES, result
from realtime.wire.commands import Call
from realtime.wire.commands import Command as WireCommand


class Place(msgspec.Struct):
    """A field of the board."""

    row: int


class Move(Command):
    """Take a field."""

    place: Place
    ref: str = ""


class Leave(Command):
    """Has no fields."""


class Moved(Event):
    """The reply."""

    row: int
    price: Decimal = Decimal("1.50")


class Board(Topic):
    """Has a sync and an async command."""

    path = "called-board"

    def may_subscribe(self) -> bool:
        return True

    @command(cost=Cost("act", 2))
    def move(self, command: Move) -> Moved:
        return Moved(command.place.row)

    @command
    async def leave(self, command: Leave) -> None:
        return None


def call(name: str, data: dict[str, Any] | None = None) -> Call:
    return Call(topic="board", name=name, data=data)


def test_a_call_reaches_its_method() -> None:
    handler, decoded = Board.calls.decode(call("move", {"place": {"row": 1}, "ref": "x"}))
    assert decoded == Move(Place(1), "x")
    assert (handler.is_async, handler.cost) == (False, Cost("act", 2))
    assert handler.method(Board(), decoded) == Moved(1)
    handler, decoded = Board.calls.decode(call("leave"))
    assert (handler.is_async, decoded) == (True, Leave())


def test_an_unknown_name_is_told_with_a_similar_one() -> None:
    with pytest.raises(CommandError) as caught:
        Board.calls.decode(call("moved"))
    error = caught.value
    assert (error.code, error.topic, error.path) == (ErrorCode.UNKNOWN_TYPE, "board", "name")
    assert error.message == "There is no command 'moved'. Did you mean 'move'?"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "data.place"),
        ({"place": 1}, "data.place"),
        ({"place": {"row": "1"}}, "data.place.row"),
        ({"place": {"row": None}}, "data.place.row"),
    ],
)
def test_a_wrong_field_is_told_with_its_path(data: dict[str, Any], path: str) -> None:
    with pytest.raises(CommandError) as caught:
        Board.calls.decode(call("move", data))
    error = caught.value
    assert (error.code, error.topic, error.path) == (ErrorCode.INVALID_MESSAGE, "board", path)


def test_a_subclass_replaces_and_leaves_out() -> None:
    class Small(Board):
        path = "small"
        leave = None  # type: ignore[assignment]

    assert set(Small.calls) == {"move"}
    assert set(Board.calls) == {"move", "leave"}


def test_a_reply_is_a_struct_or_nothing() -> None:
    reply = result("board", Moved(1), ref=3)
    assert (reply.name, reply.data, reply.ref) == ("moved", {"row": 1, "price": "1.50"}, 3)
    reply = result("board", Place(1))
    assert (reply.name, reply.data) == ("place", {"row": 1})
    reply = result("board", None)
    assert (reply.name, reply.data) == ("done", {})


def test_a_reply_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(TypeError, match="returned dict: return an Event, or None"):
        result("board", {"row": 1})  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="Expected `int`, got `str`"):
        result("board", Moved("x"))  # type: ignore[arg-type]

    class Long(Event):
        text: str

    with pytest.raises(CommandError) as caught:
        result("board", Long("x" * MAX_REPLY_BYTES))
    assert caught.value.code == ErrorCode.TOO_LARGE


class Other(Command, name="move"):
    """Has the name of another."""


class Strange(Command):
    """Has a field that is not JSON."""

    place: complex


class Foreign(WireCommand):
    """A command of a consumer."""


def one(self: Any, command: Move) -> None: ...
def other(self: Any, command: Move) -> None: ...
def same(self: Any, command: Other) -> None: ...
def bare(self: Any, command) -> None: ...  # type: ignore[no-untyped-def]
def none(self: Any) -> None: ...
def many(self: Any, command: Move, more: int) -> None: ...
def foreign(self: Any, command: Foreign) -> None: ...
def several(self: Any, commands: list[Move]) -> None: ...
def strange(self: Any, command: Strange) -> None: ...


def copied(function: Callable[..., Any]) -> Callable[..., Any]:
    copy = type(function)(function.__code__, globals(), function.__name__)
    copy.__annotations__ = function.__annotations__
    return copy


def marked(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A command as each test needs a new one."""
    copy = copied(function)
    return command(**options)(copy) if options else command(copy)


@pytest.mark.parametrize(
    ("methods", "fault"),
    [
        (lambda: {"a": marked(bare)}, "Bad.a has no annotation: write `def a(self, command: …)`"),
        (lambda: {"a": marked(none)}, "Bad.a must take one argument"),
        (lambda: {"a": marked(many)}, "Bad.a must take one argument"),
        (
            lambda: {"a": marked(foreign)},
            "Bad.a is annotated with Foreign, not with a command: write "
            "`def a(self, command: …)` with a subclass of `realtime.topics.Command`.",
        ),
        (
            lambda: {"a": consumers.command(batch=5)(copied(one))},
            "Bad.a gathers a batch, which a topic cannot have: write `@command` of "
            "`realtime.topics` without `batch`.",
        ),
        (
            lambda: {"a": consumers.command(batch=5)(copied(several))},
            "Bad.a gathers a batch, which a topic cannot have",
        ),
        (lambda: {"a": marked(strange)}, "Bad.a takes Strange, whose fields cannot be JSON"),
        (
            lambda: {"a": marked(one), "b": marked(other)},
            "Bad.b takes Move, as `a` does: keep one of them.",
        ),
        (
            lambda: {"a": marked(one), "b": marked(same)},
            "Bad.b takes Other, whose name 'move' another command has",
        ),
        (lambda: {"publish": marked(one)}, "Bad.publish hides what a topic needs"),
        (lambda: {"name": marked(one)}, "Bad.name hides what a topic needs"),
        (
            lambda: {"a": marked(one, cost=Cost("acts"))},
            "Bad.a is paid from 'acts', which is no allowance: write 'act'.",
        ),
    ],
)
def test_a_mistake_says_what_to_write(methods: Callable[[], dict[str, Any]], fault: str) -> None:
    with pytest.raises(TypeError) as caught:
        type("Bad", (Topic,), {"path": "bad", **methods()})
    assert fault in str(caught.value)
