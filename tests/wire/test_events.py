"""Each reply and event of the protocol, in each encoding."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from msgspec import Raw

from realtime.wire import events
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, Frame, has_text
from realtime.wire.entries import EntryState
from realtime.wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from realtime.wire.events import MessageState, Outgoing, timestamp

ROOM: dict[str, Any] = {
    "role": "member",
    "rights": ["post"],
    "title": "R",
    "kind": "private",
    "slow_seconds": 5,
    "read_only": True,
    "muted": "You are muted.",
    "muted_until": "2026-01-02T03:04:05.678Z",
}
NOW = "2026-01-02T03:04:05.678Z"
WHO = {"user_id": "7", "username": "ada"}
STATE = MessageState(id=5, seq=2, content="hi", created_at=NOW, **WHO)
STATE_FIELDS = {"id": 5, "seq": 2, "content": "hi", "created_at": NOW, **WHO}

ENTRY = EntryState(name="paid", data=Raw(b'{"total":"1.50"}'), seq=4, at=NOW)
ENTRY_FIELDS = {"name": "paid", "data": {"total": "1.50"}, "seq": 4, "at": NOW}
GONE = EntryState(name="spot", seq=9, key="courier", nonce="n", deleted=True, at=NOW)
GONE_FIELDS = {"name": "spot", "seq": 9, "key": "courier", "id": "n", "deleted": True, "at": NOW}

TABLE: list[tuple[Outgoing, dict[str, Any]]] = [
    (
        events.Welcome(
            connection="n.1",
            protocol=events.PROTOCOL,
            heartbeat=25,
            limits={"frame_bytes": 1},
            server_time=NOW,
            **WHO,
        ),
        {
            "type": "welcome",
            "connection": "n.1",
            "protocol": "realtime.v1",
            "heartbeat": 25,
            "limits": {"frame_bytes": 1},
            "server_time": NOW,
            **WHO,
        },
    ),
    (
        events.Authenticated(expires_at=NOW, guest_token="g", ref="a", **WHO),
        {"type": "authenticated", "expires_at": NOW, "guest_token": "g", "ref": "a", **WHO},
    ),
    (
        events.Joined(
            room="r",
            through=2,
            epoch="abcdefgh",
            recovered=False,
            messages=[STATE],
            has_more=False,
            members=[events.Member(connections=2, **WHO)],
            count=1,
            ref=1,
            **ROOM,
            **WHO,
        ),
        {
            "type": "joined",
            "room": "r",
            "through": 2,
            "epoch": "abcdefgh",
            "recovered": False,
            "messages": [STATE_FIELDS],
            "has_more": False,
            "members": [{"connections": 2, **WHO}],
            "count": 1,
            "ref": 1,
            **ROOM,
            **WHO,
        },
    ),
    (events.RoomState(room="r", ref=1, **ROOM), {"type": "room", "room": "r", "ref": 1, **ROOM}),
    (
        events.RoomState(room="r", role="guest", rights=[]),
        {"type": "room", "room": "r", "role": "guest", "rights": []},
    ),
    (
        events.Removed(room="r", code=ErrorCode.PERMISSION_DENIED, message="no"),
        {"type": "removed", "room": "r", "code": "permission_denied", "message": "no"},
    ),
    (
        events.Invited(room="r", kind="private", title="T", **WHO),
        {"type": "invited", "room": "r", "kind": "private", "title": "T", **WHO},
    ),
    (
        events.Invitation(room="r", invitation="i", expires_in=60, ref=1),
        {"type": "invitation", "room": "r", "invitation": "i", "expires_in": 60, "ref": 1},
    ),
    (
        events.Invited(room="r", kind="direct", request=True, **WHO),
        {"type": "invited", "room": "r", "kind": "direct", "request": True, **WHO},
    ),
    (events.Blocks(user_ids=["7"], ref=1), {"type": "blocks", "user_ids": ["7"], "ref": 1}),
    (events.Done(room="r", ref=1), {"type": "done", "room": "r", "ref": 1}),
    (events.Joined(room="r", **WHO), {"type": "joined", "room": "r", **WHO}),
    (events.Left(room="r", ref=0, **WHO), {"type": "left", "room": "r", "ref": 0, **WHO}),
    (
        events.MessageEvent(
            room="r", seq=2, id=5, content="", created_at=NOW, nonce="n", data={}, **WHO
        ),
        {
            "type": "message",
            "room": "r",
            "seq": 2,
            "id": 5,
            "content": "",
            "created_at": NOW,
            "nonce": "n",
            "data": {},
            **WHO,
        },
    ),
    (
        events.MessageEvent(
            room="r", seq=2, id=5, created_at=NOW, changed_seq=9, deleted=True, first=2, **WHO
        ),
        {
            "type": "message",
            "room": "r",
            "seq": 2,
            "id": 5,
            "created_at": NOW,
            "changed_seq": 9,
            "deleted": True,
            "from": 2,
            **WHO,
        },
    ),
    (
        events.Changed(
            room="r",
            seq=9,
            first=4,
            message=MessageState(
                id=5, seq=2, changed_seq=9, content="ho", created_at=NOW, edited_at=NOW, **WHO
            ),
        ),
        {
            "type": "changed",
            "room": "r",
            "seq": 9,
            "from": 4,
            "message": {**STATE_FIELDS, "content": "ho", "changed_seq": 9, "edited_at": NOW},
        },
    ),
    (
        events.Ack(room="r", seq=2, id=5, created_at=NOW, nonce="n", ref=1),
        {
            "type": "ack",
            "room": "r",
            "seq": 2,
            "id": 5,
            "created_at": NOW,
            "nonce": "n",
            "ref": 1,
        },
    ),
    (
        events.HistoryPage(room="r", messages=[], epoch="e", has_more=True, through=0),
        {
            "type": "history",
            "room": "r",
            "messages": [],
            "epoch": "e",
            "has_more": True,
            "through": 0,
        },
    ),
    (
        events.PresenceList(room="r", count=300, members=[]),
        {"type": "presence", "room": "r", "count": 300, "members": []},
    ),
    (events.TypingEvent(room="r", **WHO), {"type": "typing", "room": "r", **WHO}),
    (
        events.SignalEvent(room="r", data={"x": 1.5}, **WHO),
        {"type": "signal", "room": "r", "data": {"x": 1.5}, **WHO},
    ),
    (events.SignalEvent(data={}), {"type": "signal", "data": {}}),
    (events.Ping(), {"type": "ping"}),
    (events.Pong(server_time=NOW, t=1.0), {"type": "pong", "server_time": NOW, "t": 1.0}),
    (
        events.Ask(ref="r", name="confirm", data={"text": "Sure?"}, timeout=20.0),
        {"type": "ask", "ref": "r", "name": "confirm", "data": {"text": "Sure?"}, "timeout": 20.0},
    ),
    (events.Notice(level="info", text="x"), {"type": "notice", "level": "info", "text": "x"}),
    (
        events.Resync(room="r", seq=4, epoch="e"),
        {"type": "resync", "room": "r", "seq": 4, "epoch": "e"},
    ),
    (
        events.Failure.of(
            CommandError(ErrorCode.RATE_LIMITED, "slower", room="r", ref="x", retry_after=1.23456),
            str,
        ),
        {
            "type": "error",
            "code": "rate_limited",
            "message": "slower",
            "retryable": True,
            "room": "r",
            "retry_after": 1.235,
            "ref": "x",
        },
    ),
    (
        events.Failure.of(CommandError(ErrorCode.UNKNOWN_ROOM, "none"), str),
        {"type": "error", "code": "unknown_room", "message": "none", "retryable": False},
    ),
    (
        events.DisconnectEvent.of(Disconnect(CloseCode.SHUTDOWN, retry_after=2), str),
        {
            "type": "disconnect",
            "code": 4001,
            "reason": "The server is restarting.",
            "reconnect": True,
            "retry_after": 2,
        },
    ),
    (
        events.DisconnectEvent.of(Disconnect(4900, ""), str),
        {"type": "disconnect", "code": 4900, "reason": "", "reconnect": False},
    ),
    (
        events.Subscribed(
            topic="t/1",
            through=4,
            epoch="abcdefgh",
            recovered=False,
            entries=[ENTRY],
            has_more=True,
            until=7,
            rights=["cancel"],
            ref=1,
        ),
        {
            "type": "subscribed",
            "topic": "t/1",
            "through": 4,
            "epoch": "abcdefgh",
            "recovered": False,
            "entries": [ENTRY_FIELDS],
            "has_more": True,
            "until": 7,
            "rights": ["cancel"],
            "ref": 1,
        },
    ),
    (
        events.Subscribed(
            topic="t/1", through=0, epoch="", recovered=True, entries=[], has_more=False
        ),
        {
            "type": "subscribed",
            "topic": "t/1",
            "through": 0,
            "epoch": "",
            "recovered": True,
            "entries": [],
            "has_more": False,
        },
    ),
    (events.Unsubscribed(topic="t", ref=1), {"type": "unsubscribed", "topic": "t", "ref": 1}),
    (
        events.EntryEvent.of("t/1", ENTRY, first=1, epoch="abcdefgh"),
        {"type": "event", "topic": "t/1", "from": 1, "epoch": "abcdefgh", **ENTRY_FIELDS},
    ),
    (events.EntryEvent.of("t/1", GONE), {"type": "event", "topic": "t/1", **GONE_FIELDS}),
    (
        events.EntryEvent(topic="t", name="moved", data=Raw(b"{}")),
        {"type": "event", "topic": "t", "name": "moved", "data": {}},
    ),
    (
        events.Result(topic="t", name="cancelled", data={}, ref=1),
        {"type": "result", "topic": "t", "name": "cancelled", "data": {}, "ref": 1},
    ),
    (
        events.HistoryPage(topic="t", entries=[], epoch="e", has_more=False, through=0, ref=1),
        {
            "type": "history",
            "topic": "t",
            "entries": [],
            "epoch": "e",
            "has_more": False,
            "through": 0,
            "ref": 1,
        },
    ),
    (
        events.Resync(topic="t", seq=4, epoch="e"),
        {"type": "resync", "topic": "t", "seq": 4, "epoch": "e"},
    ),
    (
        events.Removed.of(CommandError(ErrorCode.UNKNOWN_TOPIC, "no"), None, str, topic="t"),
        {"type": "removed", "topic": "t", "code": "unknown_topic", "message": "no"},
    ),
    (
        events.Failure.of(
            CommandError(
                ErrorCode.UNAVAILABLE, "no", topic="t", path="data.seat", outcome="unknown", ref=1
            ),
            str,
        ),
        {
            "type": "error",
            "code": "unavailable",
            "message": "no",
            "retryable": True,
            "topic": "t",
            "path": "data.seat",
            "outcome": "unknown",
            "ref": 1,
        },
    ),
]


@pytest.mark.parametrize(("outgoing", "fields"), TABLE, ids=lambda value: type(value).__name__)
def test_an_event_is_the_same_in_all_encodings(outgoing: Outgoing, fields: dict[str, Any]) -> None:
    frame = Frame.of(outgoing)
    assert msgspec.json.decode(JSON.encode(outgoing)) == fields
    assert msgspec.json.decode(NDJSON.encode(outgoing)) == fields
    assert msgpack.unpackb(MSGPACK.encode(outgoing)) == fields
    assert msgspec.json.decode(frame.text) == fields
    assert msgpack.unpackb(frame.binary) == fields


def test_the_table_names_every_event() -> None:
    ours = {struct for struct in Outgoing.__subclasses__() if struct.__module__ == events.__name__}
    assert {type(outgoing) for outgoing, _ in TABLE} == ours == set(get_args(events.AnyOutgoing))


@pytest.mark.parametrize(("outgoing", "fields"), TABLE, ids=lambda value: type(value).__name__)
def test_every_frame_decodes_as_one_union(outgoing: Outgoing, fields: dict[str, Any]) -> None:
    assert msgspec.json.decode(JSON.encode(outgoing), type=events.AnyOutgoing) == outgoing
    binary = msgspec.msgpack.decode(MSGPACK.encode(outgoing), type=events.AnyOutgoing)
    if not has_text(outgoing):  # in MessagePack, the data is not JSON text
        assert binary == outgoing


def test_a_state_that_is_empty_is_told_in_full() -> None:
    """A reply to `join` has each field of the state, also where it is 0, false or empty."""
    state = {"through": 0, "epoch": "", "recovered": False, "messages": [], "has_more": False}
    people = {"members": [], "count": 0, "role": "", "rights": []}
    joined = events.Joined(room="r", **WHO, **state, **people)
    assert msgspec.json.encode(joined) == msgspec.json.encode(
        {"type": "joined", "room": "r", **WHO, **state, **people}
    )


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC),
        datetime(2026, 1, 2, 5, 4, 5, 678_000, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_is_utc_with_milliseconds(moment: datetime) -> None:
    assert timestamp(moment) == NOW


@pytest.mark.parametrize(("changed_seq", "position"), [(None, 2), (9, 9)])
def test_a_state_stands_where_it_last_changed(changed_seq: int | None, position: int) -> None:
    assert msgspec.structs.replace(STATE, changed_seq=changed_seq).position == position


@pytest.mark.parametrize("state", [ENTRY, GONE])
def test_an_event_of_a_stored_entry_has_its_state(state: EntryState) -> None:
    assert events.EntryEvent.of("t", state, 2).state == state


def test_an_event_that_is_not_stored_has_no_state() -> None:
    with pytest.raises(ValueError, match="not stored"):
        _ = events.EntryEvent(topic="t", name="moved", data=Raw(b"{}")).state


def test_frames_of_rooms_are_the_same_bytes_as_before() -> None:
    """New fields of topics stand where they change nothing, also not the order."""
    page = events.HistoryPage(room="r", messages=[], epoch="e", has_more=False, through=1, ref=2)
    assert JSON.encode(page) == (
        '{"type":"history","room":"r","messages":[],"epoch":"e","has_more":false,'
        '"through":1,"ref":2}'
    )
    resync = events.Resync(room="r", seq=4, epoch="e")
    assert JSON.encode(resync) == '{"type":"resync","room":"r","seq":4,"epoch":"e"}'
    error = CommandError(ErrorCode.RATE_LIMITED, "no", room="r", retry_after=1.5, ref=3)
    assert JSON.encode(events.Failure.of(error, str)) == (
        '{"type":"error","code":"rate_limited","message":"no","retryable":true,"room":"r",'
        '"retry_after":1.5,"ref":3}'
    )


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_can_be_told(code: ErrorCode) -> None:
    reply = events.Failure.of(CommandError(code, "no"), str)
    assert msgspec.json.decode(JSON.encode(reply))["code"] == code.value
    assert msgpack.unpackb(MSGPACK.encode(reply))["code"] == code.value


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_can_be_told(code: CloseCode) -> None:
    event = events.DisconnectEvent.of(Disconnect(code), str)
    assert msgspec.json.decode(JSON.encode(event))["code"] == int(code)
    assert msgpack.unpackb(MSGPACK.encode(event))["code"] == int(code)
