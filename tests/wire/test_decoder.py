"""A decoder of a few commands, as a consumer of a site has one."""

import json
from typing import Any

import msgpack
import pytest
from msgspec import Struct

from realtime.wire.commands import COMMANDS, Command, Ping
from realtime.wire.decoder import V1, Decoder
from realtime.wire.errors import CommandError, ErrorCode


class Point(Struct):
    """A struct in a command."""

    x: int
    label: str = ""


class Draw(Command):
    """Has fields of all kinds."""

    points: list[Point] = []
    words: tuple[str, ...] = ()
    tags: set[str] = set()
    named: dict[str, Point] = {}
    size: float | None = None
    count: int = 0
    anything: Any = None


SITE = Decoder([Draw, Ping])


def both(fields: object) -> list[object]:
    """What is decoded from JSON and from MessagePack."""
    return [SITE.decode(json.dumps(fields)), SITE.decode(msgpack.packb(fields))]


def test_the_protocol_has_all_its_commands() -> None:
    assert V1.names == set(COMMANDS)


def test_only_its_own_commands_are_known() -> None:
    assert both({"type": "ping", "ref": 1}) == [Ping(ref=1)] * 2
    for error in both({"type": "join", "room": "r", "ref": 1}):
        assert isinstance(error, CommandError)
        assert (error.code, error.ref, error.room) == (ErrorCode.UNKNOWN_TYPE, 1, "r")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("drew", "There is no command 'drew'. Did you mean 'draw'?"),
        ("PING", "There is no command 'PING'. Did you mean 'ping'?"),
        ("message", "There is no command 'message'."),
        ("draw" * 9, f"There is no command {'draw' * 9!r}."),
        ("", "There is no command ''."),
    ],
)
def test_the_name_of_a_similar_command_is_told(name: str, told: str) -> None:
    assert SITE.unknown(name).message == told


def test_a_command_may_have_lists_and_structs_of_anything() -> None:
    fields = {
        "points": [{"x": 1, "label": "é"}],
        "words": ["a", "b"],
        "tags": ["a"],
        "named": {"a": {"x": 1}},
        "size": 1.5,
        "count": -3,
        "anything": [[1, None], {"a": True}],
    }
    expected = Draw(
        points=[Point(1, "é")],
        words=("a", "b"),
        tags={"a"},
        named={"a": Point(1)},
        size=1.5,
        count=-3,
        anything=[[1, None], {"a": True}],
    )
    assert both({"type": "draw", **fields}) == [expected] * 2


@pytest.mark.parametrize(
    "fields",
    [
        {"points": [{"x": 2**53}]},
        {"points": [{"x": 1, "label": "\0"}]},
        {"words": ["a", "\0"]},
        {"tags": ["\0"]},
        {"named": {"a": {"x": 1, "label": "\0"}}},
        {"named": {"\0": {"x": 1}}},
        {"count": 2**53},
        {"size": float("inf")},
        {"anything": [[{"a": "\0"}]]},
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_refused_wherever_it_stands(fields: dict[str, Any]) -> None:
    error = SITE.decode(msgpack.packb({"type": "draw", **fields}))
    assert isinstance(error, CommandError)
    assert error.code == ErrorCode.INVALID_MESSAGE
