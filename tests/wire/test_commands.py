"""Each command of the protocol, in each encoding."""

from typing import Any

import msgpack
import msgspec
import pytest

from realtime.wire import commands
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, Codec
from realtime.wire.commands import COMMANDS
from realtime.wire.errors import CommandError, ErrorCode

JUDGEMENT = {"room": "r", "user_id": "1", "seconds": 60, "reason": "spam", "address": True}
WHOLE: list[dict[str, Any]] = [
    {"type": "auth", "ref": 1, "token": "t", "name": "Ada"},
    {"type": "join", "ref": 1, "room": "r", "since": {"seq": 3, "epoch": "e"}, "history": 20},
    {
        "type": "joins",
        "ref": 1,
        "rooms": [{"room": "r", "since": {"seq": 0, "epoch": "e"}, "history": 0}],
    },
    {"type": "leave", "ref": "a", "room": "r"},
    {"type": "message", "ref": 1, "room": "r", "content": "hi", "nonce": "n", "data": {"k": [1]}},
    {"type": "history", "ref": 1, "room": "r", "before": 9, "limit": 10},
    {"type": "history", "ref": 1, "room": "r", "after": 9, "limit": 100},
    {"type": "read", "ref": 1, "room": "r", "seq": 4},
    {"type": "typing", "ref": 1, "room": "r"},
    {"type": "signal", "ref": 1, "room": "r", "data": {"x": None}},
    {"type": "presence", "ref": 1, "room": "r"},
    {"type": "ping", "ref": 1, "t": 1.5},
    {"type": "pong", "ref": 1},
    {"type": "answer", "ref": "r", "data": {"is_sure": True}},
    {"type": "answer", "ref": "r", "code": "busy", "message": "Later."},
    {"type": "create", "ref": 1, "title": "T", "room": "r", "kind": "private"},
    {"type": "direct", "ref": 1, "user_id": "1", "username": "ada"},
    {
        "type": "configure",
        "ref": 1,
        "room": "r",
        "title": "T",
        "slow_seconds": 5,
        "read_only": True,
    },
    {"type": "invite", "ref": 1, "room": "r", "user_id": "1", "username": "ada", "void": True},
    {"type": "accept", "ref": 1, "invitation": "i"},
    {"type": "membership", "ref": 1, "room": "r", "accepted": True},
    {"type": "block", "ref": 1, "user_id": "1", "on": False},
    {"type": "appoint", "ref": 1, "room": "r", "user_id": "1", "role": "owner"},
    {"type": "kick", "ref": 1, "room": "r", "user_id": "1", "reason": "spam"},
    {"type": "ban", "ref": 1, **JUDGEMENT},
    {"type": "unban", "ref": 1, "room": "r", "user_id": "1"},
    {"type": "mute", "ref": 1, **JUDGEMENT},
    {"type": "unmute", "ref": 1, "room": "r", "user_id": "1"},
    {"type": "delete", "ref": 1, "room": "r", "id": 5},
    {"type": "report", "ref": 1, "room": "r", "id": 5, "reason": "rude"},
    {"type": "history", "ref": 1, "topic": "t/1", "after": 9, "limit": 100},
    {
        "type": "subscribe",
        "ref": 1,
        "topic": "t/1",
        "since": {"seq": 3, "epoch": "e", "until": 9, "at": None},
        "history": 20,
        "signature": "s",
    },
    {
        "type": "subscribes",
        "ref": 1,
        "topics": [
            {
                "topic": "t",
                "since": {"seq": None, "epoch": None, "until": None, "at": "s"},
                "history": 1,
                "signature": None,
            }
        ],
    },
    {"type": "unsubscribe", "ref": 1, "topic": "t/1"},
    {"type": "call", "ref": 1, "topic": "t/1", "name": "cancel", "data": {"reason": "late"}},
]
"""Every field of every command."""

PLAIN: list[tuple[dict[str, Any], msgspec.Struct]] = [
    ({"type": "auth"}, commands.Auth()),
    ({"type": "join", "room": "r"}, commands.Join(room="r", since=None, history=50)),
    (
        {"type": "joins", "rooms": [{"room": "r"}]},
        commands.Joins(rooms=[commands.JoinTarget(room="r", history=50)]),
    ),
    ({"type": "leave", "room": "r"}, commands.Leave(room="r")),
    ({"type": "message", "room": "r", "content": "hi"}, commands.Message(room="r", content="hi")),
    ({"type": "history", "room": "r"}, commands.History(room="r", limit=50)),
    ({"type": "read", "room": "r", "seq": 0}, commands.Read(room="r", seq=0)),
    ({"type": "typing", "room": "r"}, commands.Typing(room="r")),
    ({"type": "signal", "room": "r", "data": {}}, commands.Signal(room="r", data={})),
    ({"type": "presence", "room": "r"}, commands.Presence(room="r")),
    ({"type": "ping"}, commands.Ping()),
    ({"type": "pong"}, commands.Pong()),
    ({"type": "answer", "ref": "r"}, commands.Answer(ref="r")),
    ({"type": "create", "title": "T"}, commands.Create(title="T", room="", kind="public")),
    ({"type": "direct"}, commands.Direct(user_id=None, username=None)),
    ({"type": "configure", "room": "r"}, commands.Configure(room="r", title=None)),
    ({"type": "invite", "room": "r"}, commands.Invite(room="r", void=False)),
    ({"type": "accept", "invitation": "i"}, commands.Accept(invitation="i")),
    (
        {"type": "membership", "room": "r", "accepted": False},
        commands.Membership(room="r", accepted=False),
    ),
    ({"type": "block"}, commands.Block(user_id=None, on=True)),
    (
        {"type": "appoint", "room": "r", "user_id": "1", "role": "member"},
        commands.Appoint(room="r", user_id="1", role="member"),
    ),
    ({"type": "kick", "room": "r", "user_id": "1"}, commands.Kick(room="r", user_id="1")),
    (
        {"type": "ban", "room": "r", "user_id": "1"},
        commands.Ban(room="r", user_id="1", seconds=None, reason="", address=False),
    ),
    ({"type": "unban", "room": "r", "user_id": "1"}, commands.Unban(room="r", user_id="1")),
    (
        {"type": "mute", "room": "r", "user_id": "1"},
        commands.Mute(room="r", user_id="1", seconds=None, reason="", address=False),
    ),
    ({"type": "unmute", "room": "r", "user_id": "1"}, commands.Unmute(room="r", user_id="1")),
    ({"type": "delete", "room": "r", "id": 1}, commands.Delete(room="r", id=1)),
    ({"type": "report", "room": "r", "id": 1}, commands.Report(room="r", id=1, reason="")),
    ({"type": "history", "topic": "t"}, commands.History(topic="t", limit=50)),
    (
        {"type": "subscribe", "topic": "t"},
        commands.Subscribe(topic="t", since=None, history=0),
    ),
    (
        {"type": "subscribe", "topic": "t", "since": {"seq": 0, "epoch": ""}},
        commands.Subscribe(topic="t", since=commands.TopicStart(seq=0, epoch="")),
    ),
    (
        {"type": "subscribes", "topics": [{"topic": "t"}]},
        commands.Subscribes(topics=[commands.SubscribeTarget(topic="t", history=0)]),
    ),
    ({"type": "unsubscribe", "topic": "t"}, commands.Unsubscribe(topic="t")),
    ({"type": "call", "topic": "t", "name": "n"}, commands.Call(topic="t", name="n", data=None)),
]
"""The fewest fields of every command."""

WRONG: list[dict[str, Any]] = [
    {"type": "join"},
    {"type": "join", "room": ""},
    {"type": "join", "room": "r" * 101},
    {"type": "join", "room": 1},
    {"type": "join", "room": "r", "history": 101},
    {"type": "join", "room": "r", "history": -1},
    {"type": "join", "room": "r", "since": 3},
    {"type": "join", "room": "r", "since": {"seq": -1, "epoch": "e"}},
    {"type": "join", "room": "r", "since": {"seq": 2**53, "epoch": "e"}},
    {"type": "join", "room": "r", "since": {"seq": 1, "epoch": "e" * 9}},
    {"type": "join", "room": "r", "since": {"seq": 1}},
    {"type": "joins", "rooms": []},
    {"type": "joins", "rooms": [{"room": "r"}] * 101},
    {"type": "joins", "rooms": ["r"]},
    {"type": "leave"},
    {"type": "message", "room": "r"},
    {"type": "message", "room": "r", "content": None},
    {"type": "message", "room": "r", "content": "x", "nonce": ""},
    {"type": "message", "room": "r", "content": "x", "nonce": "n" * 65},
    {"type": "message", "room": "r", "content": "x", "data": []},
    {"type": "message", "room": "r", "content": "x", "data": "text"},
    {"type": "history", "room": "r", "limit": 0},
    {"type": "history", "room": "r", "limit": 101},
    {"type": "history", "room": "r", "before": -1},
    {"type": "history"},
    {"type": "history", "room": None, "topic": None},
    {"type": "history", "room": "r", "topic": "t"},
    {"type": "history", "topic": "t" * 201},
    {"type": "subscribe"},
    {"type": "subscribe", "topic": ""},
    {"type": "subscribe", "topic": "t" * 201},
    {"type": "subscribe", "topic": "t", "history": 101},
    {"type": "subscribe", "topic": "t", "since": {"seq": 1}},
    {"type": "subscribe", "topic": "t", "since": {"seq": 1, "epoch": "", "until": -1}},
    {"type": "subscribes", "topics": []},
    {"type": "subscribes", "topics": [{"topic": "t"}] * 101},
    {"type": "unsubscribe"},
    {"type": "call", "topic": "t"},
    {"type": "call", "topic": "t", "name": ""},
    {"type": "call", "topic": "t", "name": "n" * 65},
    {"type": "call", "topic": "t", "name": "n", "data": []},
    {"type": "read", "room": "r"},
    {"type": "read", "room": "r", "seq": 1.5},
    {"type": "signal", "room": "r"},
    {"type": "ping", "t": []},
    {"type": "ping", "t": True},
    {"type": "auth", "token": "t" * 4097},
    {"type": "auth", "name": "n" * 151},
    {"type": "ping", "ref": "r" * 65},
    {"type": "ping", "ref": 2**53},
    {"type": "ping", "ref": 1.5},
    {"type": "ping", "ref": True},
    {"type": "ping", "ref": {}},
    {"type": "answer"},
    {"type": "answer", "ref": ""},
    {"type": "answer", "ref": 1},
    {"type": "answer", "ref": "r" * 65},
    {"type": "answer", "ref": "r", "data": []},
    {"type": "answer", "ref": "r", "data": {}, "code": "busy"},
    {"type": "answer", "ref": "r", "code": ""},
    {"type": "answer", "ref": "r", "code": "c" * 65},
    {"type": "answer", "ref": "r", "message": "m" * 501},
    {"type": "create"},
    {"type": "create", "title": "t" * 201},
    {"type": "create", "title": "t", "kind": "direct"},
    {"type": "direct", "username": ""},
    {"type": "configure", "room": "r", "slow_seconds": -1},
    {"type": "configure", "room": "r", "slow_seconds": 86_401},
    {"type": "configure", "room": "r", "read_only": 1},
    {"type": "invite", "room": "r", "user_id": 1},
    {"type": "accept", "invitation": "i" * 1001},
    {"type": "appoint", "room": "r", "user_id": "1", "role": "god"},
    {"type": "kick", "room": "r", "user_id": ""},
    {"type": "ban", "room": "r", "user_id": "1", "seconds": 0},
    {"type": "ban", "room": "r", "user_id": "1", "seconds": 10**12},
    {"type": "mute", "room": "r", "user_id": "1", "reason": "r" * 501},
    {"type": "unban", "room": "r"},
    {"type": "delete", "room": "r", "id": 0},
    {"type": "report", "room": "r", "id": "5"},
    {"type": 1},
    {},
]


@pytest.fixture(params=[JSON, NDJSON, MSGPACK], ids=lambda codec: codec.subprotocol)
def codec(request: pytest.FixtureRequest) -> Codec:
    return request.param


def frame_of(codec: Codec, fields: object) -> str | bytes:
    if codec.is_binary:
        return msgpack.packb(fields)
    return msgspec.json.encode(fields).decode()


@pytest.mark.parametrize("fields", WHOLE, ids=lambda fields: fields["type"])
def test_every_field_of_a_command_arrives(codec: Codec, fields: dict[str, Any]) -> None:
    [command] = codec.decode(frame_of(codec, fields))
    assert isinstance(command, COMMANDS[fields["type"]])
    assert {key: msgspec.to_builtins(command)[key] for key in fields} == fields


@pytest.mark.parametrize(("fields", "expected"), PLAIN, ids=lambda value: type(value).__name__)
def test_optional_fields_have_their_defaults(
    codec: Codec, fields: dict[str, Any], expected: msgspec.Struct
) -> None:
    assert codec.decode(frame_of(codec, fields)) == [expected]


def test_the_tables_name_every_command() -> None:
    assert {fields["type"] for fields in WHOLE} == COMMANDS.keys()
    assert {fields["type"] for fields, _ in PLAIN} == COMMANDS.keys()
    structs = commands.Command.__subclasses__()
    ours = {struct for struct in structs if struct.__module__ == commands.__name__}
    assert set(COMMANDS.values()) == ours


@pytest.mark.parametrize("fields", WRONG, ids=repr)
def test_a_wrong_field_is_an_invalid_message(codec: Codec, fields: dict[str, Any]) -> None:
    [error] = codec.decode(frame_of(codec, fields))
    assert isinstance(error, CommandError)
    assert error.code == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("fields", PLAIN, ids=lambda pair: pair[0]["type"])
def test_unknown_fields_are_ignored(
    codec: Codec, fields: tuple[dict[str, Any], msgspec.Struct]
) -> None:
    sent, expected = fields
    frame = frame_of(codec, {**sent, "later": {"deep": [1, "é", None]}})
    assert codec.decode(frame) == [expected]


@pytest.mark.parametrize("kind", ["nope", "Ping", "welcome", "__class__", "", "x" * 5000])
def test_an_unknown_type_is_told_with_ref_and_room(codec: Codec, kind: str) -> None:
    [error] = codec.decode(frame_of(codec, {"type": kind, "ref": "7", "room": "r"}))
    assert isinstance(error, CommandError)
    assert (error.code, error.ref, error.room) == (ErrorCode.UNKNOWN_TYPE, "7", "r")
    assert len(error.message) < 100


@pytest.mark.parametrize("ref", [0, -1, 2**53 - 1, "", "a" * 64, "שלום"])
def test_a_broken_command_keeps_its_ref(codec: Codec, ref: str | int) -> None:
    fields = {"type": "message", "room": "r", "content": 1, "ref": ref}
    [error] = codec.decode(frame_of(codec, fields))
    assert isinstance(error, CommandError)
    assert (error.code, error.ref, error.room) == (ErrorCode.INVALID_MESSAGE, ref, "r")


@pytest.mark.parametrize(
    ("ref", "room"), [(2**60, "r" * 101), ("a" * 65, 1), (True, None), ("\0", "\0"), ([1], {})]
)
def test_an_error_repeats_nothing_that_was_not_allowed(
    codec: Codec, ref: object, room: object
) -> None:
    [error] = codec.decode(frame_of(codec, {"type": "ping", "t": [], "ref": ref, "room": room}))
    assert isinstance(error, CommandError)
    assert (error.ref, error.room) == (None, None)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"type": "message", "room": "r", "content": 1}, "content"),
        ({"type": "message", "room": "r"}, "content"),
        ({"type": "joins", "rooms": [{"room": "r"}, {}]}, "rooms[1].room"),
        ({"type": "subscribe", "topic": "t", "since": {"seq": 1}}, "since.epoch"),
        ({"type": "create", "title": "t", "kind": "x` - at `$.title"}, "kind"),
        ({"type": "history"}, None),
        ({"type": "history", "room": "r", "data": {"\0": 1}}, None),
    ],
)
def test_an_error_has_the_path_of_the_wrong_field(
    codec: Codec, fields: dict[str, Any], path: str | None
) -> None:
    [error] = codec.decode(frame_of(codec, fields))
    assert getattr(error, "path", None) == path


def test_history_asks_for_a_room_or_a_topic(codec: Codec) -> None:
    fields = {"type": "history", "room": "r", "topic": "t", "ref": 1}
    [error] = codec.decode(frame_of(codec, fields))
    assert isinstance(error, CommandError)
    assert (error.ref, error.room, error.topic) == (1, "r", "t")
    assert "one of the fields `room` and `topic`" in error.message


def test_a_token_is_never_part_of_an_error(codec: Codec) -> None:
    frame = frame_of(codec, {"type": "auth", "token": ["s3cret"], "name": "s3cret" * 99})
    [error] = codec.decode(frame)
    assert isinstance(error, CommandError)
    assert "s3cret" not in str(error)
