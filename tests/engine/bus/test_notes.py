"""Broken notes of other processes: no bytes in Redis stop a process from receiving."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgpack
import msgspec
import pytest
import redis
from django.utils.safestring import mark_safe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.bus import layer as module
from realtime.engine.bus.layer import Layer, envelope, group
from realtime.engine.bus.notes import (
    Answered,
    Broadcast,
    Close,
    Direct,
    Inspect,
    LogEvent,
    NodeChanged,
    Note,
    Past,
    PresenceDiff,
    Probe,
    Question,
    Revalidate,
    RightsChanged,
    RoomMove,
    Trace,
    Transfer,
    UnknownKind,
    Watch,
    decode,
    encode,
)
from realtime.engine.delivery import follower as follower_module
from realtime.engine.delivery import hub as hub_module
from realtime.engine.delivery.room_topic import room_event
from realtime.models import Room
from realtime.wire.codecs import JSON, MSGPACK, NDJSON
from tests.engine.bus.test_layer import SITE, Receiver
from tests.engine.conftest import UseLayer
from tests.engine.process import Process, arrived
from tests.examples import examples

KINDS = [
    "ask",
    "answer",
    "say",
    "whisper",
    "end",
    "look",
    "fence",
    "log",
    "people",
    "rights",
    "move",
    "",
    "unknown",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.sampled_from(['{"type":"signal"}', "[[],[]]", '[[["1","a"]],[]]', "{", "\ud800", "\n"]),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)
notes = st.lists(values, max_size=6) | values
shaped = st.builds(lambda kind, rest: [kind, *rest], st.sampled_from(KINDS), st.lists(values))
messages = values | st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("realtime.events") | values,
        "site": st.just(SITE) | values,
        "topic": st.sampled_from(["room.1", "everyone"]) | values,
        "origin": st.sampled_from(["one", "two", ""]) | values,
        "notes": st.lists(shaped | notes, max_size=5) | values,
        "__asgi_channel__": values,
    },
)
COMMON = settings(
    deadline=None,
    max_examples=examples(300),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


WIRE: list[tuple[Note, list[Any]]] = [
    (
        Broadcast('{"type":"signal","data":{}}', "a1.2"),
        ["say", '{"type":"signal","data":{}}', "a1.2"],
    ),
    (Direct('{"type":"signal"}', "a1.2"), ["whisper", '{"type":"signal"}', "a1.2"]),
    (Close(4503, "Out.", ""), ["end", 4503, "Out.", ""]),
    (Revalidate("session", "9f"), ["look", "session", "9f"]),
    (LogEvent(7, None, "e1", '{"type":"message"}'), ["log", 7, None, "e1", '{"type":"message"}']),
    (LogEvent(7, 5, "e1", '{"type":"message"}'), ["log", 7, 5, "e1", '{"type":"message"}']),
    (
        PresenceDiff.of([("1", "ada", "a1.2")], []),
        ["people", '[[["1", "ada", "a1.2"]], []]'],
    ),
    (RightsChanged("7", 3), ["rights", "7", 3]),
    (RoomMove("lobby", True, "", "a1.2"), ["move", "lobby", True, "", "a1.2"]),
    (
        Transfer("lobby", "table", "", "a1.2"),
        ["transfer", "lobby", "table", "", "a1.2"],
    ),
    (Probe("c0ffee"), ["fence", "c0ffee"]),
    (
        Question("c0ffee", '{"type":"ask"}', "a1.2", "node.b2", 20.0),
        ["ask", "c0ffee", '{"type":"ask"}', "a1.2", "node.b2", 20.0],
    ),
    (Answered("c0ffee", "answered", "", "{}"), ["answer", "c0ffee", "answered", "", "{}"]),
    (Watch(15.0), ["watch", 15.0]),
    (NodeChanged(), ["node"]),
    (Inspect("c0ffee", "{}", "node.b2"), ["inspect", "c0ffee", "{}", "node.b2"]),
    (Past("c0ffee", "[]"), ["past", "c0ffee", "[]"]),
    (Trace(7), ["trace", 7]),
]


@pytest.mark.parametrize(("note", "item"), WIRE, ids=lambda one: type(one).__name__)
def test_each_kind_has_its_form_on_the_wire(note: Note, item: list[Any]) -> None:
    """Processes of the last version read and write exactly this during a rolling deploy."""
    assert encode(note) == item
    assert decode(msgpack.unpackb(msgpack.packb(item))) == note
    packed = msgpack.packb({"type": "realtime.events", "site": SITE, "topic": "t", "origin": "o"})
    assert msgpack.packb(envelope(SITE, "t", "o", [note])) == (
        b"\x85" + packed[1:] + msgpack.packb("notes") + msgpack.packb([item])
    )


def test_every_kind_is_pinned() -> None:
    assert {type(note) for note, _ in WIRE} == set(get_args(Note))


def test_a_safe_string_is_sent_as_a_string() -> None:
    """A site may give a marked text as the reason of a close."""
    item = encode(Close(4503, mark_safe("Out."), ""))
    assert msgpack.unpackb(msgpack.packb(item)) == ["end", 4503, "Out.", ""]


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownKind) as caught:
        decode(["later", 1])
    assert caught.value.kind == "later"


@given(shaped | notes)
@COMMON
def test_a_note_is_sound_or_refused(note: object) -> None:
    """With an error of two kinds, and never changed."""
    try:
        found = decode(note)
    except (ValueError, RecursionError):
        return
    assert encode(found) == note


@pytest.mark.parametrize(
    "note",
    [
        [],
        {},
        None,
        "say",
        [["say"]],
        ["say"],
        ["say", 1, ""],
        ["say", '{"type":"signal"}', "", 1],
        ["look", "site", 7],
        ["rights", "7", True],
        ["fence"],
        ["say", "{}", ""],
        ["say", "[1]", ""],
        ["say", '{"type":"signal"', ""],
        ["say", '{"type":\n"signal"}', ""],
        ["say", '{"type":"\ud800"}', ""],
        ["say", '{"type":"signal","data":' + "[" * 100_000, ""],
        ["end", 1000, "", ""],
        ["end", 4503, None, ""],
        ["end", True, "", ""],
        ["whisper", "x", ""],
        ["ask", "ref", "x", "a1.2", "node.b2", 20],
        ["ask", "ref", '{"type":"ask"}', "a1.2", "node.b2", 0],
        ["ask", "ref", '{"type":"ask"}', "a1.2", "node.b2", 3601],
        ["ask", "ref", '{"type":"ask"}', "a1.2", "node.b2", float("nan")],
        ["answer", "ref", "answered", ""],
        ["log", 1, None, "epoch", "{}\n{}"],
    ],
    ids=lambda note: repr(note)[:40],
)
def test_a_note_that_would_hurt_a_client_is_refused(note: object) -> None:
    with pytest.raises((ValueError, RecursionError)):
        decode(note)


@pytest.mark.parametrize("text", ["", "[]", "[[],[[]]]", '[[["1","a",7]],[]]', '{"a":1}'])
def test_joins_and_leaves_are_read_as_strings(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        PresenceDiff(text).read()


@given(st.binary(max_size=200) | messages.map(lambda value: _packed(value)))
@COMMON
def test_a_layer_accepts_any_bytes(content: bytes) -> None:
    """Decoding never raises, and what it returns is for our channel."""
    receiver = Receiver("one")
    receiver.layer._channel, receiver.layer._site = "ours", SITE
    message = receiver.layer._deserialize(msgpack.unpackb, content)
    assert message["__asgi_channel__"] == ["ours"]
    receiver.layer._unpack(message)
    for topic, received in receiver.received:
        assert isinstance(topic, str)
        assert isinstance(received, list)


def _packed(value: Any) -> bytes:
    try:
        return bytes(msgpack.packb(value))
    except (ValueError, OverflowError):  # a surrogate or a key that msgpack cannot encode
        return json.dumps(repr(value)).encode()


@pytest.fixture
def room(sqlite: str, make_room: Callable[[str], Room]) -> Room:
    return make_room("general")


async def test_a_hub_accepts_any_note(room: Room) -> None:
    """Of hundreds of random ones none ends the rest of its message or a member's connection."""
    found: list[object] = []

    @given(shaped | notes)
    @settings(deadline=None, max_examples=examples(500))
    def gather(note: object) -> None:
        found.append(note)

    await asyncio.to_thread(gather)
    async with Process() as process:
        members = [await process.joined(room, codec) for codec in (JSON, NDJSON)]
        stored = await process.append(room, "good")
        good = ["say", '{"type":"notice","level":"info","text":"good"}', ""]
        process.hub._receive(f"room.{room.pk}", [*found, good])  # type: ignore[list-item]
        process.receive(room, stored[0])  # behind the notice in each member's order
        for member in members:
            await arrived(member, 1)
            assert member.known().faults == []
            assert "notice" in [item["type"] for item in member.items]


async def test_an_event_that_cannot_be_encoded_is_dropped_alone(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """JSON has integers that MessagePack lacks; the other events of the round arrive."""
    async with Process() as process:
        member = await process.joined(room, MSGPACK)
        huge = '{"type":"signal","data":{"x":' + "9" * 40 + "}}"
        [stored] = await process.append(room, "good")
        process.hub._receive(f"room.{room.pk}", [["say", huge, ""]])
        process.receive(room, stored)
        await eventually(lambda: len(member.server.frames) == 2)  # the first one is `joined`
        assert b"good" in member.server.frames[1]
        assert "cannot be encoded" in caplog.text


async def test_an_event_beyond_the_log_does_not_keep_the_database_busy(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gap is repaired once."""
    monkeypatch.setattr(follower_module, "GAP_SECONDS", 0.001)
    async with Process() as process:
        member = await process.joined(room)
        [stored] = await process.say(room, "good")
        topic = process.topic(room)
        forged = json.loads(stored_text(stored))
        forged["seq"] = 999
        note = ["log", 999, None, stored.epoch, json.dumps(forged)]
        process.hub._receive(topic.name, [note])
        assert topic.early
        await eventually(lambda: not topic.early and topic.repair is None)
        assert not topic.is_repair_due
        await process.say(room, "next")
        await arrived(member, 2)
        assert [item["content"] for item in member.items if item["type"] == "message"] == [
            "good",
            "next",
        ]


def stored_text(stored: Any) -> str:
    return room_event("general", stored.state).frame.text


def test_leaves_of_many_users_are_sent_in_bounded_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that died may have had thousands in one room."""
    assert hub_module.PRESENCE_AT_ONCE * 4 * 1024 < module.CONTENT_BYTES


# Through Redis.

BROKEN = [
    b"",
    b"\x00",
    b"\xc1",
    b"not msgpack at all",
    b"\xff" * 1000,
    b"\x81" * 2000,
    msgpack.packb(None),
    msgpack.packb(7),
    msgpack.packb([]),
    msgpack.packb({}),
    msgpack.packb({"type": "realtime.events"}),
    msgpack.packb({"type": ["realtime.events"]}),
    msgpack.packb({"type": "realtime.events", "__asgi_channel__": {"a": 1}}),
    msgpack.packb({"type": "realtime.events", "__asgi_channel__": ["x", 7, None]}),
    msgpack.packb(envelope(SITE, "room.1", "x", []) | {"notes": None}),
    msgpack.packb(envelope(SITE, "room.1", "x", []) | {"topic": 1}),
    msgpack.packb(
        envelope(SITE, "room.1", "two", []) | {"notes": [["fence"], ["fence", {}], [], 7]}
    ),
    msgpack.packb(envelope(SITE, "room.1", "x", []) | {"notes": [["say", "x" * 100]] * 5000}),
    b"\xdd\x00\x01\x00\x00" + b"\x01" * 65_536,
    b"\x01" * (5 * 1024 * 1024),
]


@pytest.fixture(params=["pubsub", "core"])
def put(
    request: pytest.FixtureRequest, use_layer: UseLayer, redis_url: str, settings: Settings
) -> Iterator[Callable[[Layer, bytes], None]]:
    """Puts bytes into Redis where a layer receives them, without any library."""
    use_layer(request.param, redis_url)
    prefix = settings.CHANNEL_LAYERS["default"]["CONFIG"]["prefix"]  # type: ignore[index]
    with redis.Redis.from_url(redis_url) as client:

        def pubsub(layer: Layer, content: bytes) -> None:
            client.publish(f"{prefix}__group__{group(SITE, 'room.1')}", content)

        def core(layer: Layer, content: bytes) -> None:
            key = prefix + layer._channel.partition("!")[0] + "!"
            client.zadd(key, {content: time.time()})

        yield pubsub if request.param == "pubsub" else core


async def test_broken_bytes_on_redis_stop_no_process_from_receiving(
    put: Callable[[Layer, bytes], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The next note is received without a pause, and the log has one line a second."""
    async with asyncio.timeout(60):
        one, two = Receiver("one"), Receiver("two")
        for receiver in (one, two):
            receiver.layer.start()
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        began = time.monotonic()
        for content in BROKEN * 5:
            await asyncio.to_thread(put, two.layer, content)
        one.layer.publish("room.1", Broadcast("good", ""))
        await eventually(lambda: ["say", "good", ""] in two.notes("room.1"))
        assert not two.layer.is_away
        took = time.monotonic() - began
        lines = [record for record in caplog.records if record.name.startswith("realtime")]
        assert 1 <= len(lines) <= took + 2
        assert not any(record.exc_info for record in lines)
        assert took < len(BROKEN) * 5 * 0.5
        for receiver in (one, two):
            await receiver.layer.stop()
