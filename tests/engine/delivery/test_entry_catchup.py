"""Subscribing to a topic: whatever happens meanwhile, nothing is lost and nothing comes twice."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.delivery import entry_catchup, registry
from realtime.engine.delivery.entry_catchup import attach_entries
from realtime.engine.delivery.entry_topic import entry_event
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.topic import State
from realtime.models import Log
from realtime.store.topics import entries
from realtime.store.topics.drafts import EntryDraft, StoredEntry
from realtime.store.topics.entries import TopicLog
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, Codec
from realtime.wire.commands import TopicSince
from realtime.wire.errors import CommandError, ErrorCode
from tests.engine import topic_log
from tests.engine.ends import in_thread
from tests.engine.process import Process
from tests.engine.subscriber import Subscriber, encoded, reached
from tests.engine.topic_log import deletion, event, value
from tests.engine.walk import (
    Step,
    Walk,
    from_each_seed,
    in_each_codec,
    with_much_and_little_memory,
)

ORDER = "order/7"


@pytest.fixture
async def process(sqlite: str) -> AsyncIterator[Process]:
    async with Process() as made:
        yield made


async def publish(process: Process, *drafts: EntryDraft) -> list[StoredEntry]:
    """Append and broadcast."""
    stored = await process.db.write(topic_log.publish, *drafts)
    for one in stored:
        process.hub.publish_entry(one)
    return stored


async def test_a_topic_without_a_log_makes_none(process: Process) -> None:
    """Its first event carries the epoch, and nobody has to subscribe again."""
    one = Subscriber(process, "one.1")
    [page] = await one.subscribe(ORDER)
    assert (page.through, page.epoch, page.states, page.recovered) == (0, "", [], False)
    assert not await in_thread(Log.objects.exists)
    [stored, _] = await publish(process, event(ORDER, "a"), event(ORDER, "b"))
    await reached(one, 2)
    assert [(item["seq"], item.get("epoch")) for item in one.items[1:]] == [
        (1, stored.epoch),
        (2, None),
    ]
    assert one.known().epoch == stored.epoch
    assert one.kinds("resync") == []


async def test_a_missed_first_event_is_repaired_without_a_resync(process: Process) -> None:
    """The gap is found by the second one; the epoch comes with what covers position 1."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    _, stored = await process.db.write(topic_log.publish, event(ORDER, "a"), event(ORDER, "b"))
    process.hub.publish_entry(stored)
    await reached(one, 2)
    assert [item.get("epoch") for item in one.items[1:]] == [stored.epoch, None]
    assert one.kinds("resync") == []


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
async def test_a_snapshot_has_values_and_the_newest_events(process: Process, codec: Codec) -> None:
    """Deleted and replaced values are left out, and all but the newest events."""
    await publish(
        process,
        *[value(ORDER, key, key) for key in "abc"],
        *[event(ORDER, text) for text in "xyz"],
    )
    await publish(process, value(ORDER, "a", "A"), deletion(ORDER, "b"))
    one = Subscriber(process, "one.1", codec)
    [page] = await one.subscribe(ORDER, history=2)
    assert [(state.key, state.seq) for state in page.states] == [
        ("c", 3),
        (None, 5),
        (None, 6),
        ("a", 7),
    ]
    shown = one.known()
    assert shown.values == {"a": {"text": "A"}, "c": {"text": "c"}}
    assert shown.events == {5: {"text": "y"}, 6: {"text": "z"}}
    assert shown.position == 8


async def test_a_large_snapshot_comes_in_pages(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection gets events from the last page on, and what changed between two pages."""
    monkeypatch.setattr(entry_catchup, "PAGE_STATES", 3)
    names = [f"k{number}" for number in range(10)]
    await process.db.write(topic_log.publish, *[value(ORDER, name, "old") for name in names])
    one = Subscriber(process, "one.1")
    first = await one.request(ORDER)
    assert (first.has_more, first.through, first.until, first.recovered) == (True, 3, 10, False)
    await publish(process, value(ORDER, "k0", "new"), deletion(ORDER, "k1"), event(ORDER, "e"))
    await publish(process, value(ORDER, "k9", "new"))
    assert len(one.items) == 1
    pages = await one.come_back(ORDER)
    assert [page.until for page in pages][-1] is None
    shown = one.known()
    assert (shown.faults, shown.is_attached) == ([], True)
    assert encoded(shown.values) == await process.db.read(topic_log.values, ORDER)
    assert shown.events == {13: {"text": "e"}}
    await publish(process, event(ORDER, "live"))
    await reached(one, 15)
    assert one.known().faults == []


async def test_a_page_that_is_too_large_for_a_frame_is_divided(process: Process) -> None:
    """Also among few values."""
    text = "x" * 60_000
    await process.db.write(
        topic_log.publish, *[value(ORDER, str(number), text) for number in range(10)]
    )
    one = Subscriber(process, "one.1")
    pages = await one.subscribe(ORDER, history=5)
    assert len(pages) == 3
    assert max(len(frame) for frame in one.server.frames) <= 256 * 1024
    assert len(one.known().values) == 10


async def test_a_client_that_was_away_gets_what_it_missed(process: Process) -> None:
    """Every event, and tombstones too."""
    await publish(process, value(ORDER, "a", "1"), value(ORDER, "b", "1"), event(ORDER, "x"))
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    one.leave()
    await publish(process, deletion(ORDER, "a"), event(ORDER, "y"), value(ORDER, "b", "2"))
    [page] = await one.come_back(ORDER)
    assert page.recovered
    assert [(state.seq, state.deleted) for state in page.states] == [
        (4, True),
        (5, False),
        (6, False),
    ]
    assert one.known().values == {"b": {"text": "2"}}


async def test_a_client_that_missed_much_gets_it_in_pages(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is skipped, however long it was away."""
    monkeypatch.setattr(entry_catchup, "PAGE_STATES", 4)
    monkeypatch.setattr(Ring, "CAPACITY", 4)
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    one.leave()
    await publish(process, *[event(ORDER, str(number)) for number in range(20)])
    pages = await one.come_back(ORDER)
    assert (len(pages), all(page.recovered for page in pages)) == (5, True)
    assert list(one.known().events) == list(range(1, 21))
    assert one.known().faults == []


async def test_position_0_without_an_epoch_resumes_from_the_beginning(process: Process) -> None:
    """That is where a client stands that has subscribed before the first entry."""
    await publish(process, event(ORDER, "a"), event(ORDER, "b"))
    [page] = await Subscriber(process, "one.1").subscribe(ORDER, since=TopicSince(seq=0, epoch=""))
    assert (page.recovered, [state.seq for state in page.states]) == (True, [1, 2])


@pytest.mark.parametrize(
    "since",
    [
        TopicSince(seq=2, epoch="other123"),
        TopicSince(seq=1, epoch=""),
        TopicSince(seq=0, epoch="", until=2),
        TopicSince(seq=9, epoch="right"),
        TopicSince(seq=0, epoch="right", until=2**53 - 1),
    ],
)
async def test_a_position_that_cannot_be_continued_begins_anew(
    process: Process, since: TopicSince
) -> None:
    """Whatever a client claims, it gets a whole snapshot."""
    [stored, *_] = await publish(process, value(ORDER, "a", "1"), value(ORDER, "b", "1"))
    if since.epoch == "right":
        since = TopicSince(seq=since.seq, epoch=stored.epoch, until=since.until)
    one = Subscriber(process, "one.1")
    [page] = await one.subscribe(ORDER, since=since)
    assert (page.recovered, len(page.states), page.through) == (False, 2, 2)


async def test_a_position_before_the_purged_part_begins_anew(process: Process) -> None:
    """Living values are in the snapshot although they lie in the purged part."""
    [stored, *_] = await publish(
        process, value(ORDER, "a", "1"), event(ORDER, "x"), event(ORDER, "y"), event(ORDER, "z")
    )
    await process.db.write(topic_log.purge, ORDER, 3)
    one = Subscriber(process, "one.1")
    [page] = await one.subscribe(ORDER, since=TopicSince(seq=1, epoch=stored.epoch), history=9)
    assert (page.recovered, [state.seq for state in page.states]) == (False, [1, 4])
    [page] = await one.subscribe(ORDER, since=TopicSince(seq=3, epoch=stored.epoch))
    assert (page.recovered, [state.seq for state in page.states]) == (True, [4])


async def test_a_purge_between_two_pages_does_not_keep_a_deleted_value(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tombstone is gone, so the client begins anew."""
    monkeypatch.setattr(entry_catchup, "PAGE_STATES", 2)
    await publish(process, *[value(ORDER, key, "1") for key in "abcdef"])
    one = Subscriber(process, "one.1")
    await one.request(ORDER)
    await publish(process, deletion(ORDER, "a"), event(ORDER, "x"))
    await process.db.write(topic_log.purge, ORDER, 8)
    await one.come_back(ORDER)
    shown = one.known()
    assert (shown.faults, set(shown.values)) == ([], set("bcdef"))


async def test_a_purge_while_a_page_is_read_is_noticed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tombstone that the client lacks is among the rows that are gone."""
    monkeypatch.setattr(Ring, "CAPACITY", 1)
    await publish(process, value(ORDER, "a", "1"), event(ORDER, "x"))
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    one.leave()
    await publish(process, deletion(ORDER, "a"), *[event(ORDER, text) for text in "yz"])
    real = entries._rows

    def purging(*args: Any, **conditions: Any) -> Any:
        topic_log.purge(ORDER, 3)
        return real(*args, **conditions)

    monkeypatch.setattr(entries, "_rows", purging)
    [page] = await one.come_back(ORDER, history=9)
    assert (page.recovered, one.known().values) == (False, {})


async def test_a_storm_of_new_subscribers_reads_a_snapshot_once(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred clients of one topic after a restart."""
    await process.db.write(topic_log.publish, *[value(ORDER, str(n), "1") for n in range(50)])
    await process.hub.open_topic(ORDER)
    calls: list[int] = []
    real = entry_catchup._find_starts

    def counted(keys: list[tuple[TopicLog, int]]) -> object:
        calls.append(len(keys))
        return real(keys)

    monkeypatch.setattr(entry_catchup, "_find_starts", counted)
    ends = [Subscriber(process, f"one.{number}") for number in range(100)]
    await asyncio.gather(*(end.subscribe(ORDER) for end in ends))
    assert all(len(end.known().values) == 50 for end in ends)
    assert len(calls) <= 2


async def test_a_new_epoch_makes_all_subscribe_again(process: Process) -> None:
    """A restored database ends before positions that clients have."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    [stored, *_] = await publish(process, *[event(ORDER, text) for text in "abc"])
    await reached(one, 3)
    await process.db.write(topic_log.restore, ORDER, 1)
    await process.hub.follower.catch_up(await process.hub.open_topic(ORDER))
    [resync] = one.kinds("resync")
    assert (resync["topic"], resync["seq"]) == (ORDER, 1)
    assert resync["epoch"] != stored.epoch
    assert one.rechecked == [ORDER]
    await one.come_back(ORDER)
    assert one.known().events == {}


class TopicWalk(Walk[Subscriber]):
    """Events, values and purges of a topic."""

    def __init__(self, process: Process, codec: Codec, seed: int) -> None:
        super().__init__(process, codec, seed)
        self.numbers = itertools.count()

    @property
    def writes(self) -> Sequence[Step]:
        return [self.write, self.write, self.write, self.purge]

    def new_member(self) -> Subscriber:
        return Subscriber(self.process, f"one.{next(self.numbers)}", self.codec)

    async def enter(self, member: Subscriber) -> None:
        if member.asked and self.is_likely():
            await member.come_back(ORDER, history=5)
        else:
            await member.subscribe(ORDER, history=5)

    async def write(self) -> None:
        drafts = [self._draft() for _ in range(self.dice.randint(1, 4))]
        for stored in await self.process.db.write(topic_log.publish, *drafts):
            if stored.is_new:
                self.plan(partial(self.process.hub.publish_entry, stored))

    def _draft(self) -> EntryDraft:
        self.number += 1
        key = f"k{self.dice.randint(1, 12)}"
        match self.dice.randint(1, 4):
            case 1:
                return event(ORDER, str(self.number))
            case 2:
                return deletion(ORDER, key)
            case _:
                return value(ORDER, key, str(self.number))

    async def purge(self) -> None:
        if self.dice.random() < 0.3:
            end = await self.process.db.read(topic_log.end, ORDER)
            if end:
                await self.process.db.write(topic_log.purge, ORDER, self.dice.randint(0, end))


@with_much_and_little_memory
@in_each_codec
@from_each_seed
async def test_every_subscriber_shows_what_is_stored(
    sqlite: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    codec: Codec,
    ring_bytes: int,
    capacity: int,
) -> None:
    """Pages, changes, losses and purges in random order, with much memory and with little."""
    settings.REALTIME = {"RING_BYTES": ring_bytes}
    monkeypatch.setattr(Ring, "CAPACITY", capacity)
    monkeypatch.setattr(entry_catchup, "PAGE_STATES", 4)
    async with Process() as process:
        walk = TopicWalk(process, codec, seed)
        await walk.come()
        await walk.run(80)
        topic = await process.hub.open_topic(ORDER)
        await process.hub.follower.catch_up(topic)
        truth = await process.db.read(topic_log.values, ORDER)
        told = await process.db.read(topic_log.events, ORDER)
        end = topic.position.seq
        for member in walk.members:
            await eventually(lambda member=member: _is_level(member, end))  # type: ignore[misc]
            if member.kinds("resync"):  # a purge that this process has not followed
                await member.come_back(ORDER, history=5)
                await eventually(lambda member=member: _is_level(member, end))  # type: ignore[misc]
            shown = member.known()
            assert shown.faults == []
            assert encoded(shown.values) == truth
            first = min(shown.events, default=end)
            assert {seq for seq in told if seq >= first} <= shown.events.keys()


def _is_level(member: Subscriber, end: int) -> bool:
    return member.topic is not None and member.topic.lane(member.connection.codec).position >= end


async def test_a_topic_that_was_closed_meanwhile_is_not_entered(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller has waited too long, for the rights of the client."""
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 0.02)
    topic = await process.hub.open_topic(ORDER)
    await eventually(lambda: not process.hub.topics)
    one = Subscriber(process, "one.1")
    with pytest.raises(CommandError) as caught:
        await attach_entries(process.hub, process.db, topic, one.connection, since=None, history=0)
    assert (caught.value.code, topic.members) == (ErrorCode.UNAVAILABLE, {})


async def test_a_closed_topic_does_not_change_the_ring_of_its_successor(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client resumes from that ring, which would hold its events without the one between."""
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 0.02)
    await publish(process, event(ORDER, "1"))
    closed = await process.hub.open_topic(ORDER)
    await eventually(lambda: not process.hub.topics)
    await publish(process, event(ORDER, "2"))
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 60.0)
    successor = await process.hub.open_topic(ORDER)
    await process.db.write(topic_log.publish, event(ORDER, "3"))
    [fourth] = await process.db.write(topic_log.publish, event(ORDER, "4"))
    await process.hub.follower.catch_up(closed)
    closed.state, closed.position.seq = State.LIVE, 3
    process.hub.follower.receive(
        closed, entry_event(ORDER, fourth.state, epoch=fourth.epoch), fourth.epoch
    )
    assert (successor.position.seq, successor.ring.since(2)) == (2, [])
    one = Subscriber(process, "one.1")
    since = TopicSince(seq=2, epoch=successor.position.epoch)
    with pytest.raises(CommandError) as caught:
        await attach_entries(
            process.hub, process.db, closed, one.connection, since=since, history=0
        )
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.UNAVAILABLE, 1)


async def test_a_topic_is_not_closed_while_a_client_waits_for_its_snapshot(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be slow."""
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 0.02)
    await process.db.write(topic_log.publish, event(ORDER, "a"))
    going, load = asyncio.Event(), process.db.load
    topic = await process.hub.open_topic(ORDER)

    async def slow(*args: Any) -> Any:
        await going.wait()
        return await load(*args)

    monkeypatch.setattr(process.db, "load", slow)
    one = Subscriber(process, "one.1")
    waiting = asyncio.ensure_future(one.subscribe(ORDER, history=1))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, going.set)
    [page] = await waiting
    assert len(page.states) == 1
    assert process.hub.topics[topic.name] is topic
    assert list(topic.members) == ["one.1"]


async def test_a_topic_of_one_client_is_soon_closed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be many; one with several members is kept longer."""
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 0.05)
    one, two = Subscriber(process, "one.1"), Subscriber(process, "one.2")
    await one.subscribe(ORDER)
    await one.subscribe("other")
    await two.subscribe("other")
    first = await process.hub.open_topic(ORDER)
    other = await process.hub.open_topic("other")
    for end, topic in ((one, first), (one, other), (two, other)):
        end.connection.unsubscribe(topic)
    await eventually(lambda: first.name not in process.hub.topics)
    assert other.name in process.hub.topics
