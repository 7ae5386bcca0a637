"""Topics of a site: the first epoch, versions of rights, and notes of other processes."""

import logging
from collections.abc import AsyncIterator

import pytest

from harness.waiting import eventually
from realtime.engine.bus.notes import Broadcast, LogEvent, PresenceDiff, RightsChanged, encode
from realtime.engine.delivery.entry_topic import EntryTopic, entry_event
from realtime.engine.delivery.flusher import Flusher
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.topic import State
from realtime.models import Log
from realtime.store.logs import LogMark
from realtime.store.topics.entries import TopicLog, topic_key
from realtime.wire.entries import EntryState
from tests.engine import topic_log
from tests.engine.ends import in_thread
from tests.engine.process import Process
from tests.engine.subscriber import Subscriber, reached
from tests.engine.topic_log import event, rights

ORDER = "order/7"
KEY = topic_key(ORDER)


@pytest.fixture
async def process(sqlite: str) -> AsyncIterator[Process]:
    async with Process() as made:
        yield made


def state(seq: int) -> EntryState:
    return EntryState(name="paid", seq=seq, at="2026-01-01T00:00:00.000Z")


def opened(mark: LogMark) -> EntryTopic:
    topic = EntryTopic(TopicLog(ORDER), (Flusher(coalesces=False), Flusher(coalesces=True)))
    topic.open(mark, Ring([], mark.last_seq, mark.purged_seq))
    return topic


# The first epoch.


@pytest.mark.parametrize(
    ("seq", "first", "epoch"), [(1, None, "e1"), (3, 1, "e1"), (2, None, None), (3, 2, None)]
)
def test_the_event_that_covers_position_1_has_the_epoch(
    seq: int, first: int | None, epoch: str | None
) -> None:
    """A client that subscribed before it knows no epoch."""
    text = entry_event(ORDER, state(seq), first, "e1").frame.text
    assert ('"epoch":"e1"' in text) == (epoch is not None)


def test_an_epoch_is_adopted_only_where_there_was_none() -> None:
    """Another epoch is another log."""
    topic = opened(LogMark(0, 0, 0, ""))
    assert topic.adopt("e1")
    assert topic.position.epoch == "e1"
    assert not topic.adopt("e2")
    assert not opened(LogMark(0, 0, 0, "e1")).adopt("")


def test_an_early_event_brings_the_first_epoch() -> None:
    """It has come while the log was read, which had no row then."""
    topic = opened(LogMark(0, 0, 0, ""))
    for seq in (2, 1):
        topic.keep(entry_event(ORDER, state(seq), None, "e1"), "e1")
    taken = []
    while (made := topic.next_early()) is not None:
        topic.advance(made)
        taken.append(made.seq)
    assert (taken, topic.position.epoch) == ([1, 2], "e1")


async def test_an_event_that_comes_while_the_topic_opens_is_delivered(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log was read before its first entry."""
    real = process.hub.follower._newest

    async def newest(log: TopicLog, states: int) -> object:
        changes = await real(log, states)
        for one in await process.db.write(topic_log.publish, event(ORDER, "a")):
            process.hub.publish_entry(one)
        return changes

    monkeypatch.setattr(process.hub.follower, "_newest", newest)
    one = Subscriber(process, "one.1")
    [page] = await one.subscribe(ORDER, history=1)
    assert (page.through, page.states[0].seq) == (1, 1)


# Rights.


def test_another_version_of_rights_counts_also_if_its_number_is_smaller() -> None:
    """A restored database counts again from an earlier number."""
    topic = opened(LogMark(0, 0, 5, "e1"))
    assert topic.rights == ("e1", 5)
    assert not topic.accept_rights(LogMark(9, 0, 5, "e1"))
    assert topic.accept_rights(LogMark(9, 0, 3, "e1"))
    assert topic.accept_rights(LogMark(9, 0, 3, "e2"))
    assert topic.rights == ("e2", 3)


def test_the_first_entry_is_no_change_of_rights() -> None:
    """A log without changes of rights has the version of no log."""
    topic = opened(LogMark(0, 0, 0, ""))
    assert not topic.accept_rights(LogMark(1, 0, 0, "e1"))
    assert topic.accept_rights(LogMark(1, 0, 1, "e1"))


def test_rights_that_changed_while_the_topic_was_opened_are_kept() -> None:
    """The note was faster than the reading of the log."""
    topic = EntryTopic(TopicLog(ORDER), (Flusher(coalesces=False), Flusher(coalesces=True)))
    topic.accept_rights(LogMark(0, 0, 2, "e1"))
    topic.open(LogMark(0, 0, 1, "e1"), Ring([], 0, 0))
    assert topic.rights == ("e1", 2)
    topic.open(LogMark(0, 0, 1, "e2"), Ring([], 0, 0))
    assert topic.rights == ("e2", 1)


async def test_members_recheck_their_rights_after_a_note(process: Process) -> None:
    """Also in a topic that is not kept: its log has only the version of rights."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    await process.db.write(topic_log.publish, rights(ORDER))
    process.hub.publish(KEY, RightsChanged("", 1))
    await eventually(lambda: one.rechecked == [ORDER])
    process.hub.publish(KEY, RightsChanged("", 1))
    await process.db.read(topic_log.end, ORDER)
    assert one.rechecked == [ORDER]
    assert one.kinds("resync") == []


async def test_a_lost_note_about_rights_is_found_by_the_pulse(process: Process) -> None:
    """It reads the version of rights with the positions."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    await process.db.write(topic_log.publish, rights(ORDER))
    process.hub.recheck(await process.marks())
    await eventually(lambda: one.rechecked == [ORDER])


async def test_marks_that_are_older_than_a_note_cause_no_recheck(process: Process) -> None:
    """The pulse has read them before the change."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    stale = await process.marks()
    await process.db.write(topic_log.publish, rights(ORDER))
    topic = await process.hub.open_topic(ORDER)
    process.hub.publish(KEY, RightsChanged("", 1))
    await eventually(lambda: one.rechecked == [ORDER])
    assert not await process.hub.confirm_rights(topic, ("", 0))
    process.hub.recheck(stale)
    await eventually(lambda: not process.hub._tasks)
    assert one.rechecked == [ORDER]
    assert await process.hub.confirm_rights(topic, topic.rights)


async def test_a_version_that_is_newer_than_the_known_one_is_confirmed(process: Process) -> None:
    """A decision was made after a change of which no note has come yet."""
    topic = await process.hub.open_topic(ORDER)
    await process.db.write(topic_log.publish, rights(ORDER))
    mark = await process.db.read(TopicLog(ORDER).mark)
    assert await process.hub.confirm_rights(topic, mark.rights)


# The pulse.


async def test_a_lost_last_event_is_found_by_comparing(process: Process) -> None:
    """In topics as in rooms, also if the log was made meanwhile."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    positions = process.positions()
    assert positions == {KEY: 0}
    await process.db.write(topic_log.publish, event(ORDER, "a"))
    marks = await process.marks()
    assert process.hub.compare(positions, marks) is False
    await reached(one, 1)
    assert one.kinds("resync") == []


async def test_a_topic_without_a_log_is_neither_behind_nor_broken(process: Process) -> None:
    """It has the mark of no log."""
    topic = await process.hub.open_topic(ORDER)
    positions = process.positions()
    marks = await process.marks()
    assert process.hub.compare(positions, marks) is False
    assert topic.repair is None


async def test_a_log_that_was_deleted_makes_all_subscribe_again(process: Process) -> None:
    """An idle log may be deleted; the next one has a new epoch."""
    one = Subscriber(process, "one.1")
    for stored in await process.db.write(topic_log.publish, event(ORDER, "a")):
        process.hub.publish_entry(stored)
    await one.subscribe(ORDER)
    await in_thread(lambda: Log.objects.filter(name=ORDER).delete())
    positions = process.positions()
    process.hub.compare(positions, await process.marks())
    await eventually(lambda: one.kinds("resync"))
    assert (one.kinds("resync")[0]["seq"], one.kinds("resync")[0]["epoch"]) == (0, "")
    [page] = await one.subscribe(ORDER)
    assert page.through == 0


# Notes.


async def test_an_event_of_another_process_is_delivered(process: Process) -> None:
    """As the same bytes."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    [stored] = await process.db.write(topic_log.publish, event(ORDER, "a"))
    assert stored.state is not None
    sent = entry_event(ORDER, stored.state, epoch=stored.epoch)
    process.hub._receive(KEY, [encode(sent.note(stored.epoch))])
    await reached(one, 1)
    assert one.server.frames[-1] == sent.frame.text


@pytest.mark.parametrize(
    "note",
    [
        LogEvent(1, None, "e1", '{"type":"message"}'),
        LogEvent(1, None, "e1", '{"type":"event","topic":"t","name":"n"}'),
        LogEvent(1, None, "e1", "not JSON"),
        PresenceDiff("[[],[]]"),
    ],
)
async def test_a_note_that_no_topic_can_have_is_dropped(
    process: Process, note: LogEvent | PresenceDiff, caplog: pytest.LogCaptureFixture
) -> None:
    """The position does not move, and the log says so."""
    topic = await process.hub.open_topic(ORDER)
    with caplog.at_level(logging.WARNING):
        process.hub._receive(KEY, [encode(note)])
    assert (topic.position.seq, topic.state) == (0, State.LIVE)
    assert len(caplog.records) == 1


async def test_an_event_that_is_not_kept_reaches_all_members(process: Process) -> None:
    """It has no position, so nothing is read and nothing is repaired."""
    one = Subscriber(process, "one.1")
    await one.subscribe(ORDER)
    text = '{"type":"event","topic":"order/7","name":"moved","data":{"x":1}}'
    process.hub.publish(KEY, Broadcast(text, ""))
    await eventually(lambda: len(one.items) == 2)
    assert one.items[1]["data"] == {"x": 1}
    assert one.known().position == 0


async def test_a_topic_is_opened_once_for_concurrent_subscribers(process: Process) -> None:
    """A storm costs one look at the log."""
    ends = [Subscriber(process, f"one.{number}") for number in range(50)]
    for end in ends:
        await end.subscribe(ORDER)
    assert len({id(end.topic) for end in ends}) == 1
