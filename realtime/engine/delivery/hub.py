"""Broadcast the events of topics to the connections of this process (fan-out).

The database is the log, and the channel layer only brings its events earlier. So the follower
checks the position of each event that the layer brings.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from ...logs import get_logger
from ...spans import Origin
from ...store import presence
from ...store.database import site
from ...store.logs import LogMark, RightsVersion
from ...store.messages.drafts import Stored
from ...store.messages.history import room_key
from ...store.messages.room_log import RoomLog
from ...store.presence import Place
from ...store.topics.drafts import StoredEntry
from ...store.topics.entries import TopicLog
from ...wire.codecs import Frame
from ...wire.errors import CommandError, Disconnect, ErrorCode
from ...wire.events import Outgoing
from ..bus.layer import Layer, ignore
from ..bus.note_queue import Sent
from ..bus.notes import (
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
    ProcessNote,
    Question,
    Revalidate,
    RightsChanged,
    RoomMove,
    Trace,
    Transfer,
    UnknownKind,
    Watch,
    decode,
)
from ..connections.connection import Connection
from ..database.executor import Database
from .entry_topic import EntryTopic, entry_event
from .event import Event
from .flusher import Flusher
from .follower import LogFollower
from .log_rights import LogRights
from .registry import Registry
from .ring import Ring
from .room_topic import RoomTopic, room_event
from .rosters import Rosters
from .topic import AnyLogTopic, LogTopic, State, Topic
from .topic_presence import TopicPresence

__all__ = ["EVERYONE", "Hub"]

logger = get_logger("realtime.hub")

EVERYONE = "everyone"
"""The name of the topic that all connections of all processes are subscribed to."""
NO_ORIGINS: Mapping[int, Origin] = {}
PRESENCE_AT_ONCE = 500
"""The most joins, and the most leaves, that one note carries, to bound its size."""


class Hub:
    """All topics of a process.

    `revalidate(connections, note)` is called for each `Revalidate` note, and `answered(note)` for
    each `Answered` note. `ask(connection, note)` is called for each `Question` note, and
    `on_process(note)` for each note to the whole process.
    """

    def __init__(
        self,
        origin: str,
        db: Database,
        revalidate: Callable[[list[Connection], Revalidate], None] = lambda connections, note: None,
        ask: Callable[[Connection | None, Question], None] = lambda connection, note: None,
        answered: Callable[[Answered], None] = lambda note: None,
        on_process: Callable[[ProcessNote], None] = lambda note: None,
    ) -> None:
        self.layer = Layer(origin, self._receive, partial(db.read, site.identity))
        self._revalidate = revalidate
        self._ask, self._answered, self._on_process = ask, answered, on_process
        self._flushers = (Flusher(coalesces=False), Flusher(coalesces=True))
        self._tasks: set[asyncio.Task[Any]] = set()
        self.follower = LogFollower(db, self._spawn)
        self._topics = Registry(self.layer, self.follower, self._spawn)
        self._emptied = self._topics.linger  # one method object for all topics
        self._rosters = Rosters(db, self._spawn)
        self._rights = LogRights(db)
        self._behind: set[str] = set()
        """The keys of the logs that were ahead at the last comparison."""

    def start(self) -> None:
        """Start to receive and to send."""
        self.layer.start()
        for flusher in self._flushers:
            flusher.start()

    async def stop(self) -> None:
        """Send the pending events, and stop."""
        for task in list(self._tasks):
            task.cancel()
        for flusher in self._flushers:
            await flusher.stop()
        await self.layer.stop()

    def keep(self, name: str) -> None:
        """Open a topic that stays open without members.

        The pulse probes that of the node, and `SITE` notes must arrive without connections too.
        """
        self._topics.add(Topic(name, self._flushers))

    def topic(self, name: str) -> Topic:
        """Return a topic without a log; open it on first use, and close it when it is empty."""
        return self._topics.get(name) or self._topics.add(
            Topic(name, self._flushers, self._emptied)
        )

    async def open_room(self, room_id: int, slug: str, *, is_resumed: bool = False) -> RoomTopic:
        """Return a room's live topic; concurrent calls open it once.

        With `is_resumed` its ring starts as full as possible: after a restart, many clients resume.
        """
        log = RoomLog(room_id)
        make = partial(RoomTopic, log, slug, self._flushers, self._emptied)
        return await self._topics.open(log.key, make, Ring.CAPACITY if is_resumed else None)

    async def open_topic(self, name: str, *, shows_presence: bool = False) -> EntryTopic:
        """Return the live topic of a site with this name; concurrent calls open it once."""
        log = TopicLog(name)
        make = partial(
            EntryTopic, log, self._flushers, self._emptied, shows_presence=shows_presence
        )
        return await self._topics.open(log.key, make)

    def room(self, room_id: int) -> RoomTopic | None:
        """Return a room's topic if it is open in this process."""
        topic = self._topics.log(room_key(room_id))
        return topic if isinstance(topic, RoomTopic) else None

    @property
    def topics(self) -> Mapping[str, Topic]:
        """All topics of this process by name."""
        return self._topics.topics

    def check_open(self, topic: Topic, message: object) -> None:
        """Raise `CommandError` with `unavailable` if a topic was closed: it gets no more events."""
        if self._topics.get(topic.name) is not topic:
            raise CommandError(ErrorCode.UNAVAILABLE, message, retry_after=1)

    @property
    def rooms(self) -> list[RoomTopic]:
        """The rooms that are live in this process."""
        return [topic for topic in self._topics.live if isinstance(topic, RoomTopic)]

    @property
    def presences(self) -> list[TopicPresence]:
        """The presence of each live room and topic that shows it."""
        return [one.presence for one in self._topics.live if one.presence is not None]

    @property
    def has_pending_events(self) -> bool:
        """Whether some events wait for the next round."""
        return not all(flusher.is_idle for flusher in self._flushers)

    # Publishing: first to the members in this process, then to the other processes.

    def publish_message(self, stored: Stored) -> None:
        """Broadcast a committed message to its room."""
        self._publish_event(room_key(stored.room_id), room_event(stored.slug, stored.state), stored)

    def publish_committed(self, stored: Stored | StoredEntry) -> None:
        """Broadcast what the writer has committed."""
        if isinstance(stored, Stored):
            self.publish_message(stored)
        else:
            self.publish_entry(stored)

    def publish_entries(self, stored: Iterable[StoredEntry]) -> None:
        """Broadcast committed entries to their topics."""
        for one in stored:
            self.publish_entry(one)

    def publish_entry(self, stored: StoredEntry) -> None:
        """Broadcast a committed entry to its topic."""
        if stored.state is not None:
            event = entry_event(stored.topic, stored.state, epoch=stored.epoch)
            self._publish_event(stored.log_key, event, stored)

    def _publish_event(self, key: str, event: Event, stored: Stored | StoredEntry) -> None:
        event.origin = stored.origin
        if topic := self._topics.log(key):
            self.follower.receive(topic, event, stored.epoch)
        self.layer.publish(key, event.note(stored.epoch), ignore, stored.origin)

    def send_event(self, topic: str, outgoing: Outgoing, *, exclude: str = "") -> None:
        """Broadcast an event that is not stored to a topic, except to the connection `exclude`."""
        self.publish(topic, Broadcast(Frame.of(outgoing).text, exclude))

    def publish_presence(self, announcement: presence.Announcement) -> None:
        """Broadcast which users joined and left rooms and topics."""
        places: dict[Place, tuple[list[Any], list[Any]]] = {}
        for person in announcement.joined:
            places.setdefault(person.place, ([], []))[0].append(person[1:])
        for person in announcement.left:
            places.setdefault(person.place, ([], []))[1].append(person[1:])
        for place, (joined, left) in places.items():
            key = room_key(place) if isinstance(place, int) else TopicLog(place).key
            for first in range(0, max(len(joined), len(left)), PRESENCE_AT_ONCE):
                some = slice(first, first + PRESENCE_AT_ONCE)
                note = PresenceDiff.of(joined[some], left[some])
                self.publish(key, note)

    def publish(
        self, topic: str, note: Note, sent: Sent = ignore, origin: Origin | None = None
    ) -> None:
        """Handle a note here, then publish it to other processes; `sent` as in `Layer.publish`."""
        self._dispatch(topic, note, origin)
        self.layer.publish(topic, note, sent, origin)

    # Receiving.

    def _receive(
        self, topic: str, items: list[Any], origins: Mapping[int, Origin] = NO_ORIGINS
    ) -> None:
        for number, item in enumerate(items):
            try:
                self._dispatch(topic, decode(item), origins.get(number))
            except UnknownKind as error:
                if self._topics.get(topic):
                    dropped = "topic %s: a note of the unknown kind %.60r was dropped"
                    logger.warning(dropped, topic, error.kind)
            except Exception as error:
                name = type(error).__name__
                logger.warning("a broken note on the channel layer was dropped: %s", name)

    def _dispatch(self, name: str, note: Note, origin: Origin | None = None) -> None:
        topic = self._topics.get(name)
        if topic is None:
            return
        match note:
            case LogEvent() | PresenceDiff() | RightsChanged():
                self._dispatch_to_log(topic, note, origin)
            case Broadcast(text, exclude):
                topic.deliver(Event(Frame(text), exclude=exclude, origin=origin))
            case Close() | Direct() | RoomMove() | Transfer():
                _dispatch_to_clients(_recipients(topic, note.connection), note)
            case Revalidate():
                self._revalidate(list(topic.members.values()), note)
            case Question(connection=connection):
                self._ask(topic.members.get(connection), note)
            case Answered():
                self._answered(note)
            case Watch() | Inspect() | Past() | NodeChanged() | Trace():
                self._on_process(note)
            case Probe():
                pass

    def _dispatch_to_log(
        self,
        topic: Topic,
        note: LogEvent | PresenceDiff | RightsChanged,
        origin: Origin | None,
    ) -> None:
        match topic, note:
            case LogTopic(), LogEvent(epoch=epoch, text=text):
                event = topic.read_event(text)
                event.origin = origin
                self.follower.receive(topic, event, epoch)
            case LogTopic(), RightsChanged(user_id, seq):
                self._spawn(self._rights.changed(topic, user_id, seq))
            case LogTopic(presence=TopicPresence() as presence), PresenceDiff():
                self._rosters.update(presence, *note.read())
            case _:
                logger.warning("topic %s: a %s note is not for this topic", topic.name, note.tag)

    # Comparing with the database.

    @property
    def logs(self) -> list[AnyLogTopic]:
        """The topics with a log, also those that are being opened, for `differences`."""
        return self._topics.logs

    def silent(self, most: int) -> list[str]:
        """Return the names of some topics with members whose logs are empty, any of them.

        Topics that are not kept are among them. No position shows that their notes are lost.
        """
        logs = self._topics.logs
        some = random.sample(logs, min(10 * most, len(logs)))  # not all: there may be very many
        silent = [one for one in some if one.members and not one.position.seq and not one.is_polled]
        return [topic.name for topic in silent[:most]]

    def compare(self, positions: dict[str, int], marks: dict[str, LogMark]) -> bool:
        """Repair the topics that are behind `marks`, which the database had a second ago.

        Only those in `positions` are compared, which they had just before `marks` were read.
        Returns whether a log was behind twice in a row, which shows that this process no longer
        receives from the layer.
        """
        behind: set[str] = set()
        broken: list[AnyLogTopic] = []
        for key, position in positions.items():
            topic, mark = self._topics.log(key), marks.get(key)
            if topic is None or topic.state is State.OPENING:
                continue
            if mark is None:  # the room was deleted
                self._rights.recheck(topic)
                continue
            if mark.purged_seq > topic.ring.purged_seq:
                self.follower.purge(topic, mark.purged_seq)
            is_behind = mark.last_seq > topic.position.seq
            if is_behind:
                behind.add(key)
                topic.marked = mark.last_seq if mark.epoch == topic.position.epoch else 0
            if is_behind or mark.epoch != topic.position.epoch or mark.last_seq < position:
                broken.append(topic)
        for topic in sorted(broken, key=lambda topic: -len(topic.members)):
            self.follower.repair(topic)
        before, self._behind = self._behind, behind
        return not before.isdisjoint(behind)

    def recheck(self, marks: dict[str, LogMark]) -> None:
        """Have the members of topics whose rights have changed recheck them."""
        for key, mark in marks.items():
            match self._topics.log(key):
                case RoomTopic() as room if mark.rights_seq >= room.rights_seq:
                    self._rights.compare(room, mark)
                case RoomTopic() as room:
                    # The database was restored, or a note has come since `marks` were read.
                    self._spawn(self._rights.refresh(room))
                case EntryTopic() as topic if topic.rights != mark.rights:
                    # A note may have come since `marks` were read, and no version is newer.
                    self._spawn(self._rights.refresh(topic))

    async def confirm_rights(self, topic: EntryTopic, rights: RightsVersion) -> bool:
        """Return whether a version of rights is the current one; if unsure, read that first."""
        if topic.rights != rights:
            await self._rights.refresh(topic)
        return topic.rights == rights

    def correct_counts(self, counts: Mapping[Place, int]) -> None:
        """Reload the rosters that differ from the counts of the database."""
        self._rosters.correct(self.presences, counts)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("a background task of the hub failed: %r", error)


def _send_directly(recipients: Iterable[Connection], frame: Frame) -> None:
    """Send a frame past the lanes, to the connections that speak the protocol."""
    for one in recipients:
        if one.codec.is_protocol:
            one.outbox.send(one.codec.join([frame]))


def _dispatch_to_clients(
    clients: Iterable[Connection], note: Close | Direct | RoomMove | Transfer
) -> None:
    match note:
        case Close(code, reason):
            for one in clients:
                one.close(Disconnect(code, reason))
        case Direct(text):
            _send_directly(clients, Frame(text))
        case RoomMove() | Transfer():
            for one in clients:
                one.events.on_room_move(note)


def _recipients(topic: Topic, connection_id: str) -> Iterable[Connection]:
    if not connection_id:
        return list(topic.members.values())
    return [topic.members[connection_id]] if connection_id in topic.members else []
