"""The reports of a process to administrators: its numbers each second, and its clients.

An idle site pays nothing: without a `Watch` note no timer runs, and nothing is published.
"""

import asyncio
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..logs import get_logger
from ..store.topics.entries import topic_key
from ..wire.codecs import Frame
from ..wire.events import EntryEvent
from . import numbers
from .bus.notes import Answered, Broadcast, Inspect, Outcome, Past, Watch
from .connections.stats import ConnectionStats, snapshot
from .delivery.hub import EVERYONE
from .numbers import Numbers
from .places import Place, PlaceChanges, page_of
from .series import NodePast, Series, Step
from .versions import versions

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["LIVE", "Activity", "Clients", "Inspection", "PageQuestion", "Report", "Reporter"]

logger = get_logger("realtime.reporting")

LIVE = "realtime/live"
"""The name of the topic that carries the numbers; it keeps nothing."""
WATCH_SECONDS, RENEW_SECONDS = 15.0, 5.0
"""The time for which processes publish after a `Watch`, and the pause before it is repeated."""
CLIENTS = 500
"""The most clients of one answer."""
CHANGES = 100
"""The most changes of one report; after more of them, a page reads the clients again."""
REPEATED = 2
"""The last steps of a report, so that a page that lacks one report lacks no step."""

PageQuestion = Literal["clients", "activity", "places", "past", "ended"]
"""Clients, what changes of them, rooms and topics, and the steps of this or of ended processes."""


class Inspection(msgspec.Struct):
    """A question to one process."""

    what: PageQuestion | Literal["numbers", "versions"]
    offset: int = 0
    ids: list[str] = []
    """The connections to describe; by default those from `offset` on."""


class Clients(msgspec.Struct):
    """Some connections of a process, and the number of all of them."""

    total: int
    rows: list[ConnectionStats]


class Activity(msgspec.Struct, array_like=True):
    """What changes of a connection; the fields are those of `ConnectionStats`."""

    id: str
    user_id: str
    username: str
    phase: str
    active_at: float
    subscriptions: int
    places: list[str]
    frames_received: int
    bytes_received: int
    frames_sent: int
    bytes_sent: int
    queued_frames: int
    queued_bytes: int
    lag: int


class Activities(msgspec.Struct):
    """What changes of some connections, and the number of all."""

    total: int
    rows: list[Activity]


class Pasts(msgspec.Struct):
    """The steps of some processes."""

    total: int
    rows: list[NodePast]


class Report(msgspec.Struct):
    """The numbers of a process, and which connections have come and gone since the last report."""

    numbers: Numbers
    opened: list[ConnectionStats]
    closed: list[str]
    is_partial: bool
    """Whether there were more changes than a report carries."""
    number: int
    """The number of the report; a page that lacks one reads all again."""
    steps: list[Step]
    moved: list[Place]
    """The rooms and topics that have changed."""


class Reporter:
    """Answers the `Watch`, `Inspect` and `Past` notes of a process."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._series = Series(engine)
        self._until = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start to keep the last 15 minutes."""
        self._series.start()

    def stop(self) -> None:
        """Publish no more, and hand the last 15 minutes over."""
        self._series.stop()
        for task in self._tasks.values():
            task.cancel()

    def watch(self) -> None:
        """Have all processes publish their numbers while a client of this one is subscribed."""
        self._start("watching", self._keep_watching)

    def receive(self, note: Watch | Inspect | Past) -> None:
        """Do what a note asks for."""
        if isinstance(note, Inspect):
            self._engine.send_to_process(note.reply, self._answer(note))
        elif isinstance(note, Past):
            self._series.inherit(note)
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
        changes = PlaceChanges(self._engine.hub)
        for number in count(1):
            report = self._report(number, known, changes.next())
            known = set(self._engine.connections)
            data = msgspec.Raw(msgspec.json.encode(report))
            frame = Frame.of(EntryEvent(topic=LIVE, name="report", data=data))
            self._engine.hub.publish(topic_key(LIVE), Broadcast(frame.text, ""))
            await asyncio.sleep(1)
            if loop.time() >= self._until:
                return

    def _report(self, number: int, known: set[str], moved: list[Place]) -> Report:
        connections = self._engine.connections
        opened, closed = connections.keys() - known, known - connections.keys()
        return Report(
            numbers.read(self._engine),
            [snapshot(connections[one]) for one in islice(opened, CHANGES)],
            list(islice(closed, CHANGES)),
            is_partial=max(len(opened), len(closed)) > CHANGES,
            number=number,
            steps=list(self._series.steps)[-REPEATED:],
            moved=moved,
        )

    def _answer(self, note: Inspect) -> Answered:
        try:
            question = msgspec.json.decode(note.text, type=Inspection)
        except (ValueError, RecursionError):
            return Answered(note.ref, Outcome.REFUSED, "invalid_message", "")
        answer = msgspec.json.encode(self._answer_to(question)).decode()
        return Answered(note.ref, Outcome.ANSWERED, "", answer)

    def _answer_to(self, question: Inspection) -> msgspec.Struct | dict[str, str]:
        match question.what:
            case "clients":
                return Clients(*self._clients(question))
            case "activity":
                total, rows = self._clients(question)
                return Activities(total, [_activity(row) for row in rows])
            case "places":
                return page_of(self._engine.hub, question.offset)
            case "past":
                own = NodePast(self._engine.node.id, list(self._series.steps))
                return Pasts(1, [own])
            case "ended":
                return Pasts(len(ended := self._series.ended), ended)
            case "numbers":
                return numbers.read(self._engine)
            case "versions":
                return versions()

    def _clients(self, question: Inspection) -> tuple[int, list[ConnectionStats]]:
        connections = self._engine.connections
        if question.ids:
            found = [connections[one] for one in question.ids[:CLIENTS] if one in connections]
        else:
            start = max(question.offset, 0)
            found = list(islice(connections.values(), start, start + CLIENTS))
        return len(connections), [snapshot(one) for one in found]


def _activity(row: ConnectionStats) -> Activity:
    return Activity(*(getattr(row, name) for name in Activity.__struct_fields__))
