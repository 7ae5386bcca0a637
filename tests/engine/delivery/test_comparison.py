"""The topics that differ from their logs: only those cost the event loop anything."""

from collections.abc import Callable
from typing import Any

import pytest

from realtime.engine.delivery import comparison
from realtime.engine.delivery.comparison import differences
from realtime.models import Log, Room
from realtime.store.messages import history
from realtime.store.topics.entries import topic_key
from tests.engine import topic_log
from tests.engine.ends import in_thread
from tests.engine.process import Process
from tests.engine.subscriber import Subscriber
from tests.engine.topic_log import event

ORDERS = [f"order/{number}" for number in range(5)]


@pytest.fixture
async def opened(process: Process, room: Room, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A process with a room and several topics, which are compared two at a time."""
    monkeypatch.setattr(comparison, "TOPICS_AT_ONCE", 2)
    await process.joined(room)
    await process.say(room, "a")
    for name in ORDERS:
        for stored in await process.db.write(topic_log.publish, event(name, "a")):
            process.hub.publish_entry(stored)
        await process.hub.open_topic(name)
    return process


async def differing(process: Process) -> tuple[set[str], set[str]]:
    positions, marks = await process.db.read(differences, process.hub.logs)
    return set(positions), set(marks)


async def test_topics_that_have_not_changed_are_left_out(opened: Process) -> None:
    assert len(opened.hub.logs) == 6
    assert await differing(opened) == (set(), set())


CHANGES: dict[str, Callable[..., Any]] = {
    "entry": lambda name: topic_log.publish(event(name, "b")),
    "purge": lambda name: Log.objects.filter(name=name).update(purged_seq=1),
    "epoch": lambda name: Log.objects.filter(name=name).update(epoch="another"),
    "rights": lambda name: Log.objects.filter(name=name).update(rights_seq=1),
    "end": lambda name: Log.objects.filter(name=name).update(last_seq=0),
    "deletion": lambda name: Log.objects.filter(name=name).delete(),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_has_changed_is_found(opened: Process, change: str) -> None:
    await in_thread(lambda: CHANGES[change](ORDERS[3]))
    assert await differing(opened) == ({topic_key(ORDERS[3])}, {topic_key(ORDERS[3])})


async def test_a_deleted_room_has_no_mark(opened: Process, room: Room) -> None:
    await in_thread(lambda: Room.objects.filter(pk=room.pk).delete())
    assert await differing(opened) == ({history.room_key(room.pk)}, set())


async def test_topics_without_positions_are_silent(opened: Process) -> None:
    """Only if somebody is there to hear."""
    one = Subscriber(opened, "one.1")
    await opened.hub.open_topic("empty/1")
    for name in ("empty/2", ORDERS[0]):
        await one.subscribe(name)
    assert opened.hub.silent(20) == [topic_key("empty/2")]
    assert opened.hub.silent(0) == []


async def test_a_topic_that_was_closed_meanwhile_is_no_obstacle(opened: Process) -> None:
    await in_thread(lambda: CHANGES["entry"](ORDERS[0]))
    positions, marks = await opened.db.read(differences, opened.hub.logs)
    positions["topic.gone"], marks["topic.gone"] = 0, next(iter(marks.values()))
    assert opened.hub.compare(positions, marks) is False
