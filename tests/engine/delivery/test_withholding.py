"""Members whose right may have ended get nothing until it is known, and then all in order."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.bus.notes import RightsChanged
from realtime.engine.delivery import withholding
from realtime.engine.delivery.flusher import Flusher, Lane
from realtime.models import Room
from realtime.store.topics.entries import topic_key
from realtime.wire.codecs import JSON, NDJSON, Codec
from realtime.wire.events import Notice
from realtime.wire.packet import Packet
from tests.engine import topic_log
from tests.engine.ends import End, in_thread, ticks
from tests.engine.process import Member, Process
from tests.engine.subscriber import Subscriber

ORDER = "order/7"
Check = Callable[[], bool]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withholding, "WITHHOLD_SECONDS", 0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def doubted(member: Member) -> float:
    """Withhold from a member; return when that began."""
    assert member.topic is not None
    since = now()
    member.topic.doubt([member.connection], since)
    await ticks()
    return since


def texts(member: Member) -> list[str]:
    return [item["content"] for item in member.kinds("message")]


async def said(process: Process, room: Room, *contents: str) -> None:
    """Say something, and wait until it is sent to those who may have it."""
    await process.say(room, *contents)
    await eventually(lambda: not process.hub.has_pending_events)
    await ticks()


@pytest.mark.parametrize("codec", [JSON, NDJSON])
async def test_what_was_withheld_comes_in_its_order(
    process: Process, room: Room, codec: Codec
) -> None:
    """Before what is said later, nothing twice; others have it at once."""
    one, other = [await process.joined(room, codec) for _ in range(2)]
    await said(process, room, "a")
    since = await doubted(one)
    await said(process, room, "b", "c")
    assert (texts(one), texts(other)) == (["a"], ["a", "b", "c"])
    assert one.topic is not None
    one.topic.confirm(one.connection, since)
    await said(process, room, "d")
    assert texts(one) == texts(other) == ["a", "b", "c", "d"]
    assert one.known().faults == []


async def test_the_answer_to_an_earlier_question_is_not_enough(
    process: Process, room: Room
) -> None:
    """It may be older than the last change."""
    one = await process.joined(room)
    first = await doubted(one)
    second = await doubted(one)
    assert one.topic is not None
    one.topic.confirm(one.connection, first)
    await said(process, room, "a")
    assert texts(one) == []
    one.topic.confirm(one.connection, second)
    assert texts(one) == ["a"]


async def test_a_right_that_is_confirmed_in_time_withholds_nothing(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withholding, "WITHHOLD_SECONDS", 60)
    one = await process.joined(room)
    since = await doubted(one)
    assert one.topic is not None
    one.topic.confirm(one.connection, since)
    await said(process, room, "a")
    assert texts(one) == ["a"]
    assert not one.topic._doubts


async def test_a_storm_of_changes_is_few_doubts(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has to be later than the last of them."""
    monkeypatch.setattr(withholding, "WITHHOLD_SECONDS", 60)
    one = await process.joined(room)
    assert one.topic is not None
    began = now()
    for number in range(1000):
        one.topic.doubt([one.connection], began + number / 1000)
    doubts = one.topic._doubts
    assert doubts is not None
    assert len(doubts._doubts) <= 10
    one.topic.confirm(one.connection, began + 0.5)
    assert doubts
    one.topic.confirm(one.connection, began + 1)
    assert not doubts


async def test_a_member_that_leaves_is_forgotten(process: Process, room: Room) -> None:
    """It gets nothing of what was kept, and coming back brings all of it."""
    one, other = [await process.joined(room) for _ in range(2)]
    await doubted(one)
    await said(process, room, "a")
    one.leave()
    assert one.topic is not None
    assert not one.topic._doubts
    await one.join(room, comes_back=True)
    await said(process, room, "b")
    assert (texts(one), one.known().faults) == (["b"], [])
    assert one.known().states == other.known().states


@pytest.mark.parametrize("limits", [{"OUTBOX_FRAMES": 4}, {"OUTBOX_BYTES": 1000}])
async def test_what_is_too_much_to_keep_is_read_again_by_the_client(
    process: Process, room: Room, settings: Settings, limits: dict[str, int]
) -> None:
    """It has to join again, which asks for its right first."""
    settings.REALTIME = limits
    one = await process.joined(room)
    await doubted(one)
    for text in "abc":
        await said(process, room, text * 100)
    assert texts(one) == []
    assert (len(one.kinds("resync")), one.rechecked) == (1, [""])
    await one.join(room, comes_back=True)
    assert len(one.known().states) == 3


@pytest.mark.parametrize("limits", [{"OUTBOX_FRAMES": 6}, {"OUTBOX_BYTES": 600}])
async def test_what_several_topics_keep_is_bounded_together(
    settings: Settings, limits: dict[str, int]
) -> None:
    """All of it may be released at once, and would be too much for the client."""
    settings.REALTIME = limits
    end, full = End(), list[str]()
    lanes = {name: Lane(JSON, Flusher(coalesces=False), 0) for name in ("one", "two", "three")}
    for name, lane in lanes.items():
        lane.attach(end.outbox)
        lane.withhold(end.outbox.id, partial(full.append, name))
    packet = Packet([f'{{"type":"notice","text":"{"x" * 65}"}}'])  # 100 bytes with its head
    for name in ("one", "two", "one"):
        lanes[name].outboxes[end.outbox.id].deliver(packet)
    assert full == []
    for _ in range(3):  # it is told once, and then keeps nothing
        lanes["two"].outboxes[end.outbox.id].deliver(packet)
    assert full == ["two"]
    lanes["three"].outboxes[end.outbox.id].deliver(packet)
    lanes["one"].release(end.outbox.id)
    lanes["three"].detach(end.outbox.id)
    assert (full, len(end.items)) == (["two"], 2)
    queue = end.outbox.queue
    assert (queue.withheld_frames, queue.withheld_bytes) == (0, 0)


async def test_a_member_that_enters_again_leaves_no_space_occupied() -> None:
    end, packet = End(), Packet(['{"type":"notice"}'])
    lane = Lane(JSON, Flusher(coalesces=False), 0)
    lane.attach(end.outbox)
    lane.withhold(end.outbox.id, lambda: None)
    lane.outboxes[end.outbox.id].deliver(packet)
    assert end.outbox.queue.withheld_frames == 1
    lane.attach(end.outbox)
    lane.release(end.outbox.id)
    queue = end.outbox.queue
    assert (queue.withheld_frames, queue.withheld_bytes) == (0, 0)
    assert end.items == []


async def test_who_is_present_is_withheld_as_well(process: Process) -> None:
    """In a topic the audience of presence is separate."""
    one = Subscriber(process, "one.1")
    topic = await process.hub.open_topic(ORDER, shows_presence=True)
    await one.subscribe(ORDER)
    assert topic.presence is not None
    one.connection.subscribe(topic.presence.audience)
    since = now()
    topic.doubt([one.connection], since)
    await ticks()
    topic.presence.deliver_joined("7", "ada", "")
    await eventually(lambda: not process.hub.has_pending_events)
    await ticks()
    assert one.kinds("joined") == []
    topic.confirm(one.connection, since)
    assert [item["user_id"] for item in one.kinds("joined")] == ["7"]


async def test_what_is_sent_to_a_client_alone_is_not_withheld(process: Process, room: Room) -> None:
    one = await process.joined(room)
    await doubted(one)
    one.connection.reply(Notice(level="info", text="hi"))
    assert len(one.kinds("notice")) == 1


async def test_a_change_that_cannot_be_read_is_one_for_all(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may fail just when it is needed."""
    one = await process.joined(room)

    async def fail(*args: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(process.db, "load", fail)
    process.hub.publish(f"room.{room.pk}", RightsChanged("7", 1))
    await eventually(lambda: one.rechecked == [""])
    monkeypatch.undo()
    await ticks()
    await said(process, room, "a")
    assert texts(one) == []


async def test_a_change_of_rights_in_a_topic_withholds_from_all(process: Process) -> None:
    ends = [Subscriber(process, f"one.{number}") for number in range(2)]
    for one in ends:
        await one.subscribe(ORDER)
    await in_thread(topic_log.publish, topic_log.rights(ORDER))
    process.hub.publish(topic_key(ORDER), RightsChanged("", 1))
    await eventually(lambda: all(one.rechecked for one in ends))
    asked = now()
    await ticks()
    for stored in await in_thread(topic_log.publish, topic_log.event(ORDER, "a")):
        process.hub.publish_entry(stored)
    await eventually(lambda: not process.hub.has_pending_events)
    await ticks()
    assert [one.kinds("event") for one in ends] == [[], []]
    assert ends[0].topic is not None
    ends[0].topic.confirm(ends[0].connection, asked)
    assert [len(one.kinds("event")) for one in ends] == [1, 0]
    assert ends[0].known().faults == []
