"""The rooms and topics with clients in a process, and their changes."""

from collections.abc import Callable
from typing import Any

import pytest

from realtime.engine import places as module
from realtime.engine.delivery.flusher import Flusher
from realtime.engine.delivery.room_topic import RoomTopic
from realtime.engine.places import PlaceChanges, page_of
from realtime.store.messages.room_log import RoomLog


class Topics:
    """The part of a hub that has its topics."""

    def __init__(self) -> None:
        self.topics: dict[str, Any] = {}

    @property
    def logs(self) -> list[Any]:
        return list(self.topics.values())

    def add(self, number: int, members: int = 1) -> RoomTopic:
        flushers = Flusher(coalesces=False), Flusher(coalesces=True)
        topic = RoomTopic(RoomLog(number), f"room-{number}", flushers)
        self.topics[topic.name] = topic
        enter(topic, members)
        return topic


def enter(topic: RoomTopic, members: int) -> None:
    members_of: Any = topic.members
    members_of.update({str(number): None for number in range(members)})


@pytest.fixture
def hub() -> Any:
    return Topics()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def limit(changes: int, scanned: int) -> None:
        monkeypatch.setattr(module, "CHANGES", changes)
        monkeypatch.setattr(module, "SCANNED", scanned)

    return limit


def names(changes: PlaceChanges) -> list[str]:
    return [place.name for place in changes.next()]


def test_only_what_has_changed_is_reported(hub: Any) -> None:
    first, second = hub.add(1), hub.add(2)
    changes = PlaceChanges(hub)
    assert names(changes) == []
    first.position.reset(5, "a")
    second.roster.count = 3
    third = hub.add(3)
    assert [(one.name, one.position, one.present) for one in changes.next()] == [
        ("room-1", 5, 0),
        ("room-2", 0, 3),
        ("room-3", 0, 0),
    ]
    assert names(changes) == []
    third.members.clear()
    del hub.topics[first.name]
    assert [(one.key, one.members) for one in changes.next()] == [
        (first.name, 0),
        (third.name, 0),
    ]
    assert names(changes) == []


def test_later_reports_have_what_one_cannot_carry(hub: Any, few: Any) -> None:
    """Those that change all the time do not keep the others out."""
    few(2, 100)
    rooms = [hub.add(number) for number in range(5)]
    changes = PlaceChanges(hub)
    seen: set[str] = set()
    for turn in range(1, 4):
        for room in rooms:
            room.position.reset(turn, "a")
        found = names(changes)
        assert len(found) == 2
        seen.update(found)
    assert len(seen) == 5


def test_very_many_are_compared_in_turns(hub: Any, few: Any) -> None:
    few(100, 2)
    changes = PlaceChanges(hub)
    for number in range(5):
        hub.add(number)
    assert [names(changes) for _ in range(4)] == [
        ["room-0", "room-1"],
        ["room-2", "room-3"],
        ["room-4"],
        [],
    ]


def test_pages_begin_with_the_most_connections(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACES", 2)
    monkeypatch.setattr(module, "MOST", 3)
    for number, members in enumerate([1, 3, 0, 2, 1]):
        hub.add(number, members)
    found = [page_of(hub, offset) for offset in (-1, 0, 2, 3, 99)]
    assert [[place.name for place in page.rows] for page in found] == [
        ["room-1", "room-3"],
        ["room-1", "room-3"],
        ["room-0"],
        [],
        [],
    ]
    assert {page.total for page in found} == {4}
