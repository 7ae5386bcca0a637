"""The rooms and topics with clients in a process, and which of them have changed."""

from collections.abc import Iterable, Iterator
from heapq import nsmallest
from itertools import islice
from typing import Literal

import msgspec

from .delivery.hub import Hub
from .delivery.room_topic import RoomTopic
from .delivery.topic import AnyLogTopic

__all__ = ["PLACES", "Place", "PlaceChanges", "Places", "page_of"]

PLACES = 1000
"""The rooms and topics of one answer."""
MOST = 5000
"""The rooms and topics of all answers together: those with the most connections."""
CHANGES = 200
"""The most changes of one report; later reports have the rest."""
SCANNED = 5000
"""The rooms and topics that are compared for one report, so that it takes some milliseconds."""

State = tuple[int, int | None, int]


class Place(msgspec.Struct):
    """A room or topic with clients in this process."""

    key: str
    """The log key, which is the same in all processes."""
    kind: Literal["room", "topic"]
    name: str
    members: int
    """The connections of this process; 0 if the last one has left."""
    present: int | None
    """The users in all processes; None if the topic does not know."""
    position: int


class Places(msgspec.Struct):
    """Some rooms and topics of a process, and the number of all."""

    total: int
    rows: list[Place]


def page_of(hub: Hub, offset: int) -> Places:
    """Return the rooms and topics of one page; those with the most connections come first."""
    found = _open(hub.logs)
    end = min(max(offset, 0) + PLACES, MOST)
    largest = nsmallest(end, found, key=lambda topic: (-len(topic.members), topic.name))
    return Places(len(found), [_place(topic) for topic in largest[max(offset, 0) :]])


class PlaceChanges:
    """Finds the rooms and topics that have changed since they were last reported.

    Each call compares a part of them, and goes on where the last one has stopped.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._turn = 0
        self._known = {topic.name: _state(topic) for topic in _open(hub.logs)}

    def next(self) -> list[Place]:
        """Return some changes, and keep them as reported."""
        changed = [*self._gone(), *self._changed()]
        for place in changed:
            if place.members:
                self._known[place.key] = (place.members, place.present, place.position)
            else:
                del self._known[place.key]
        return changed

    def _gone(self) -> Iterator[Place]:
        topics = self._hub.topics
        gone = [key for key in self._known if key not in topics or not topics[key].members]
        return (Place(key, "topic", "", 0, None, 0) for key in gone[:CHANGES])

    def _changed(self) -> Iterator[Place]:
        topics = self._hub.logs
        self._turn = self._turn if self._turn < len(topics) else 0
        part = topics[self._turn :] + topics[: self._turn]
        number = 0
        for scanned, topic in enumerate(islice(part, SCANNED), 1):
            if topic.members and self._known.get(topic.name) != _state(topic):
                yield _place(topic)
                number += 1
            if number == CHANGES or scanned == SCANNED:
                self._turn = (self._turn + scanned) % len(topics)
                return


def _open(topics: Iterable[AnyLogTopic]) -> list[AnyLogTopic]:
    return [topic for topic in topics if topic.members]


def _state(topic: AnyLogTopic) -> State:
    presence = topic.presence
    present = None if presence is None else presence.roster.count
    return len(topic.members), present, topic.position.seq


def _place(topic: AnyLogTopic) -> Place:
    kind: Literal["room", "topic"] = "room" if isinstance(topic, RoomTopic) else "topic"
    return Place(topic.name, kind, topic.label, *_state(topic))
