"""Broadcast the events of topics to the connections of this process (fan-out).

The database is the log, and the channel layer only brings its events earlier. So the follower
checks the position of each event that the layer brings.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import Error as DatabaseError

from ...conf import config
from ...logs import get_logger
from ...store import presence
from ...store.database import site
from ...store.messages.history import LogMark
from ...store.messages.log import Stored
from ...wire.codecs import Frame
from ...wire.errors import Disconnect
from ...wire.events import Outgoing
from ..bus.layer import Layer
from ..bus.notes import (
    Broadcast,
    Close,
    Direct,
    LogEvent,
    Note,
    PresenceDiff,
    Probe,
    Revalidate,
    RightsChanged,
    UnknownKind,
    decode,
)
from ..connections.connection import Connection
from ..database.executor import Database
from .event import Event
from .flusher import Flusher
from .follower import OPEN_STATES, LogFollower
from .ring import Ring
from .room_presence import RoomPresence
from .room_rights import RoomRights, recheck_members
from .roster import Roster
from .topic import RoomTopic, State, Topic, room_topic

__all__ = ["Hub"]

logger = get_logger("realtime.hub")

PROBE_SECONDS = 1.0
"""The time in which a new subscription has to take effect; otherwise the room is polled."""
LINGER_SECONDS = 60.0
"""A room without members is kept this long, for clients that come back."""
USER_LINGER_SECONDS = 5.0
"""The same for topics without a log: enough for a page that is reloaded."""
POLL_SECONDS = 1.0
"""The pause between two queries for a room that has no subscription."""
PRESENCE_AT_ONCE = 500
"""The most joins, and the most leaves, that one note carries, to bound its size."""


class Hub:
    """All topics of a process.

    `revalidate(connections, note)` is called for each `Revalidate` note.
    """

    def __init__(
        self,
        origin: str,
        db: Database,
        revalidate: Callable[[list[Connection], Revalidate], None] = lambda connections, note: None,
    ) -> None:
        self.layer = Layer(origin, self._receive, partial(db.read, site.identity))
        self._revalidate = revalidate
        self._topics: dict[str, Topic] = {}
        self._rooms: dict[int, RoomTopic] = {}
        self._opening: dict[int, asyncio.Task[RoomTopic]] = {}
        self._flushers = (Flusher(rests=False), Flusher(rests=True))
        self.follower = LogFollower(db, self._spawn)
        self._emptied = self._linger  # one method object for all topics
        self._presence = RoomPresence(db, self._spawn)
        self._rights = RoomRights(db)
        self._tasks: set[asyncio.Task[Any]] = set()

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
        self._add(Topic(name, self._flushers))

    def topic(self, name: str) -> Topic:
        """Return a topic without a log; open it on first use, and close it when it is empty."""
        return self._topics.get(name) or self._add(Topic(name, self._flushers, self._emptied))

    def _add(self, topic: Topic) -> Topic:
        self._topics[topic.name] = topic
        self._spawn(self.layer.subscribe(topic.name))
        return topic

    async def open_room(self, room_id: int, slug: str, *, is_resumed: bool = False) -> RoomTopic:
        """Return a room's live topic; concurrent calls open it once.

        With `is_resumed` its ring starts as full as possible: after a restart, many clients resume.
        """
        topic = self._rooms.get(room_id)
        if topic is not None and topic.state is not State.OPENING:
            topic.requested_at = asyncio.get_running_loop().time()
            return topic
        if room_id not in self._opening:
            self._opening[room_id] = self._spawn(self._open(room_id, slug, is_resumed))
        return await asyncio.shield(self._opening[room_id])

    def room(self, room_id: int) -> RoomTopic | None:
        """Return a room's topic if it is open in this process."""
        return self._rooms.get(room_id)

    @property
    def rooms(self) -> list[RoomTopic]:
        """The rooms that are live in this process."""
        return [topic for topic in self._rooms.values() if topic.state is not State.OPENING]

    # Publishing: first to the members in this process, then to the other processes.

    def publish_message(self, stored: Stored) -> None:
        """Broadcast a committed message to its room."""
        event = Event.of_state(stored.slug, stored.state)
        room_id = stored.room_id
        self._follow_log(room_id, event, stored.epoch)
        self.layer.publish(room_topic(room_id), event.note(stored.epoch))

    def send_event(self, topic: str, outgoing: Outgoing, *, exclude: str = "") -> None:
        """Broadcast an event that is not stored to a topic, except to the connection `exclude`."""
        self.publish(topic, Broadcast(Frame.of(outgoing).text, exclude))

    def publish_presence(self, announcement: presence.Announcement) -> None:
        """Broadcast which users joined and left rooms."""
        rooms: dict[int, tuple[list[Any], list[Any]]] = {}
        for person in announcement.joined:
            rooms.setdefault(person.room_id, ([], []))[0].append(person[1:])
        for person in announcement.left:
            rooms.setdefault(person.room_id, ([], []))[1].append(person[1:])
        for room_id, (joined, left) in rooms.items():
            for first in range(0, max(len(joined), len(left)), PRESENCE_AT_ONCE):
                some = slice(first, first + PRESENCE_AT_ONCE)
                note = PresenceDiff.of(joined[some], left[some])
                self.publish(room_topic(room_id), note)

    def publish(self, topic: str, note: Note, *sent: Callable[[bool], None]) -> None:
        """Handle a note here, then publish it to other processes; `sent` as in `Layer.publish`."""
        self._dispatch(topic, note)
        self.layer.publish(topic, note, *sent)

    # Receiving.

    def _receive(self, topic: str, items: list[Any]) -> None:
        for item in items:
            try:
                self._dispatch(topic, decode(item))
            except UnknownKind as error:
                if topic in self._topics:
                    dropped = "topic %s: a note of the unknown kind %.60r was dropped"
                    logger.warning(dropped, topic, error.kind)
            except Exception as error:
                name = type(error).__name__
                logger.warning("a broken note on the channel layer was dropped: %s", name)

    def _dispatch(self, name: str, note: Note) -> None:
        topic = self._topics.get(name)
        if topic is None:
            return
        match note:
            case LogEvent() | PresenceDiff() | RightsChanged():
                self._dispatch_to_room(topic, note)
            case Broadcast(text, exclude):
                topic.deliver(Event(Frame(text), exclude=exclude))
            case Close(code, reason, connection_id):
                for one in _recipients(topic, connection_id):
                    one.close(Disconnect(code, reason))
            case Direct(text, connection_id):
                for one in _recipients(topic, connection_id):
                    one.outbox.send(one.codec.join([Frame(text)]))
            case Revalidate():
                self._revalidate(list(topic.members.values()), note)
            case Probe():
                pass

    def _dispatch_to_room(
        self, topic: Topic, note: LogEvent | PresenceDiff | RightsChanged
    ) -> None:
        if not isinstance(topic, RoomTopic):
            logger.warning("topic %s: a %s note is for rooms only", topic.name, note.tag)
            return
        match note:
            case LogEvent(epoch=epoch, text=text):
                self._follow_log(topic.room_id, Event.of_text(text), epoch)
            case PresenceDiff():
                self._presence.update(topic, *note.read())
            case RightsChanged(user_id, seq):
                self._spawn(self._rights.changed(topic, user_id, seq))

    def _follow_log(self, room_id: int, event: Event, epoch: str) -> None:
        if topic := self._rooms.get(room_id):
            self.follower.receive(topic, event, epoch)

    # Opening and closing.

    async def _open(self, room_id: int, slug: str, is_resumed: bool) -> RoomTopic:
        roster = Roster(config().presence_events_up_to)
        topic = RoomTopic(room_id, slug, self._flushers, roster, self._emptied)
        self._topics[topic.name] = self._rooms[room_id] = topic
        try:
            is_heard = await self._subscribe(topic)
            await self.follower.load(topic, Ring.CAPACITY if is_resumed else OPEN_STATES)
        except BaseException:
            self._remove(topic)
            self._spawn(self.layer.unsubscribe(topic.name))
            raise
        finally:
            del self._opening[room_id]
        if not is_heard:
            topic.is_polled = True
            self._spawn(self._poll(topic))
        topic.requested_at = asyncio.get_running_loop().time()
        self._linger(topic)
        return topic

    async def _subscribe(self, topic: Topic) -> bool:
        # A layer's `group_add` may return before the subscription takes effect. A probe that comes
        # back through the group proves that it has.
        return await self.layer.subscribe(topic.name) and await self.layer.probe(
            topic.name, PROBE_SECONDS
        )

    def _linger(self, topic: Topic) -> None:
        """Keep an empty topic a little longer, for clients that reconnect at once."""
        seconds = LINGER_SECONDS if isinstance(topic, RoomTopic) else USER_LINGER_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._close_if_idle, topic)

    def _close_if_idle(self, topic: Topic) -> None:
        if topic.members or self._topics.get(topic.name) is not topic:
            return
        if isinstance(topic, RoomTopic) and self._is_in_use(topic):
            self._linger(topic)
            return
        self._remove(topic)
        self._spawn(self.layer.unsubscribe(topic.name))

    def _is_in_use(self, topic: RoomTopic) -> bool:
        # A client may be about to attach, and first waits for the database.
        idle = asyncio.get_running_loop().time() - topic.requested_at
        return topic.state is not State.LIVE or idle < LINGER_SECONDS

    def _remove(self, topic: Topic) -> None:
        self._topics.pop(topic.name, None)
        if isinstance(topic, RoomTopic):
            self._rooms.pop(topic.room_id, None)
            self.follower.drop(topic)

    # Comparing with the database.

    def positions(self) -> dict[int, int]:
        """Return the position of each live room."""
        return {topic.room_id: topic.position.seq for topic in self.rooms}

    def compare(self, positions: dict[int, int], marks: dict[int, LogMark]) -> bool:
        """Repair the rooms that are behind `marks`, which the database had a second ago.

        `positions` are those from just before `marks` were read. Returns whether a room was behind
        twice in a row, which shows that this process no longer receives from the layer.
        """
        is_deaf = False
        broken: list[RoomTopic] = []
        for topic in self.rooms:
            mark, position = marks.get(topic.room_id), positions.get(topic.room_id)
            if position is None:
                continue
            if mark is None:  # the room was deleted
                recheck_members(topic)
                continue
            if mark.purged_seq > topic.ring.purged_seq:
                self.follower.purge(topic, mark.purged_seq)
            is_behind = mark.last_seq > topic.position.seq
            topic.times_behind = topic.times_behind + 1 if is_behind else 0
            if is_behind or mark.epoch != topic.position.epoch or mark.last_seq < position:
                broken.append(topic)
            is_deaf |= topic.times_behind > 1
        for topic in sorted(broken, key=lambda topic: -len(topic.members)):
            self.follower.repair(topic)
        return is_deaf

    def recheck(self, marks: dict[int, LogMark]) -> None:
        """Have the members of rooms whose rights have changed recheck them."""
        for room_id, mark in marks.items():
            if topic := self._rooms.get(room_id):
                self._rights.compare(topic, mark)

    def correct_counts(self, counts: dict[int, int]) -> None:
        """Reload the rosters that differ from the counts of the database."""
        self._presence.correct(self.rooms, counts)

    async def _poll(self, topic: RoomTopic) -> None:
        while topic.is_polled:
            await asyncio.sleep(POLL_SECONDS)
            if self._rooms.get(topic.room_id) is not topic:
                return
            with suppress(DatabaseError):  # the failed task is logged, and the pulse tries again
                await self.follower.catch_up(topic)
            if await self._subscribe(topic):
                topic.is_polled = False
                await self.follower.catch_up(topic)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("a background task of the hub failed: %r", error)


def _recipients(topic: Topic, connection_id: str) -> Iterable[Connection]:
    if not connection_id:
        return list(topic.members.values())
    return [topic.members[connection_id]] if connection_id in topic.members else []
