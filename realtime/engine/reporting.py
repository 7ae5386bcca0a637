"""The reports of a process to administrators: its numbers each second, and its clients.

An idle site pays nothing: without a `Watch` note no timer runs, and nothing is published.
"""

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..logs import get_logger
from ..store.topics.entries import topic_key
from ..wire.codecs import Frame
from ..wire.events import EntryEvent
from . import numbers
from .bus.notes import Answered, Broadcast, Inspect, Outcome, Watch
from .connections.stats import ConnectionStats, snapshot
from .delivery.entry_topic import EntryTopic
from .delivery.hub import EVERYONE
from .delivery.room_topic import RoomTopic
from .numbers import Numbers
from .versions import versions

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["LIVE", "Clients", "Inspection", "Place", "Places", "Report", "Reporter"]

logger = get_logger("realtime.reporting")

LIVE = "realtime/live"
"""The name of the topic that carries the numbers; it keeps nothing."""
WATCH_SECONDS, RENEW_SECONDS = 15.0, 5.0
"""The time for which processes publish after a `Watch`, and the pause before it is repeated."""
CLIENTS = 500
"""The most clients of one answer."""
PLACES = 500
"""The rooms and topics of one answer: those with the most members."""
CHANGES = 100
"""The most changes of one report; after more of them, a page reads the clients again."""


class Inspection(msgspec.Struct):
    """A question to one process."""

    what: Literal["clients", "places", "numbers", "versions"]
    offset: int = 0
    ids: list[str] = []
    """The connections to describe; by default those from `offset` on."""


class Clients(msgspec.Struct):
    """Some connections of a process, and the number of all of them."""

    total: int
    rows: list[ConnectionStats]


class Place(msgspec.Struct):
    """A room or topic with members in a process."""

    kind: Literal["room", "topic"]
    name: str
    members: int
    position: int


class Places(msgspec.Struct):
    """The rooms and topics of a process with the most members, and the number of all."""

    total: int
    rows: list[Place]


class Report(msgspec.Struct):
    """The numbers of a process, and which connections have come and gone since the last report."""

    numbers: Numbers
    opened: list[ConnectionStats]
    closed: list[str]
    is_partial: bool
    """Whether there were more changes than a report carries."""


class Reporter:
    """Answers the `Watch` and `Inspect` notes of a process."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._until = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def stop(self) -> None:
        """Publish no more."""
        for task in self._tasks.values():
            task.cancel()

    def watch(self) -> None:
        """Have all processes publish their numbers while a client of this one is subscribed."""
        self._start("watching", self._keep_watching)

    def receive(self, note: Watch | Inspect) -> None:
        """Do what a note asks for."""
        if isinstance(note, Inspect):
            self._engine.send_to_process(note.reply, self._answer(note))
        elif not self._engine.is_stopping:
            seconds = min(max(note.seconds, 0.0), WATCH_SECONDS)
            self._until = max(self._until, self._engine.loop.time() + seconds)
            self._start("publishing", self._publish_numbers)

    def _start(self, name: str, work: Any) -> None:
        if name not in self._tasks:
            task = self._tasks[name] = self._engine.loop.create_task(work())
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _keep_watching(self) -> None:
        hub, key = self._engine.hub, topic_key(LIVE)
        while (topic := hub.topics.get(key)) is not None and topic.members:
            hub.publish(EVERYONE, Watch(WATCH_SECONDS))
            await asyncio.sleep(RENEW_SECONDS)

    async def _publish_numbers(self) -> None:
        loop, known = self._engine.loop, set(self._engine.connections)
        while loop.time() < self._until:
            report = self._report(known)
            known = set(self._engine.connections)
            data = msgspec.Raw(msgspec.json.encode(report))
            frame = Frame.of(EntryEvent(topic=LIVE, name="report", data=data))
            self._engine.hub.publish(topic_key(LIVE), Broadcast(frame.text, ""))
            await asyncio.sleep(1)

    def _report(self, known: set[str]) -> Report:
        connections = self._engine.connections
        opened, closed = connections.keys() - known, known - connections.keys()
        return Report(
            numbers.read(self._engine),
            [snapshot(connections[one]) for one in islice(opened, CHANGES)],
            list(islice(closed, CHANGES)),
            is_partial=max(len(opened), len(closed)) > CHANGES,
        )

    def _answer(self, note: Inspect) -> Answered:
        try:
            question = msgspec.json.decode(note.text, type=Inspection)
        except (ValueError, RecursionError):
            return Answered(note.ref, Outcome.REFUSED, "invalid_message", "")
        text = msgspec.json.encode(self._answer_to(question)).decode()
        return Answered(note.ref, Outcome.ANSWERED, "", text)

    def _answer_to(self, question: Inspection) -> Clients | Places | Numbers | dict[str, str]:
        match question.what:
            case "clients":
                return self._clients(question)
            case "places":
                return self._places()
            case "numbers":
                return numbers.read(self._engine)
            case "versions":
                return versions()

    def _clients(self, question: Inspection) -> Clients:
        connections = self._engine.connections
        if question.ids:
            found = [connections[one] for one in question.ids[:CLIENTS] if one in connections]
        else:
            start = max(question.offset, 0)
            found = list(islice(connections.values(), start, start + CLIENTS))
        return Clients(len(connections), [snapshot(one) for one in found])

    def _places(self) -> Places:
        found = [
            _place(topic)
            for topic in self._engine.hub.logs
            if topic.members and isinstance(topic, RoomTopic | EntryTopic)
        ]
        found.sort(key=lambda place: (-place.members, place.name))
        return Places(len(found), found[:PLACES])


def _place(topic: RoomTopic | EntryTopic) -> Place:
    if isinstance(topic, RoomTopic):
        return Place("room", topic.slug, len(topic.members), topic.position.seq)
    return Place("topic", topic.topic_name, len(topic.members), topic.position.seq)
