"""Broadcast the events of topics to the connections of this process (fan-out).

The database is the log; the layer only says earlier what the database would say anyway. So
what is heard of a room's log goes to the follower, which judges it by its position.
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
from ...store.messages import history
from ...store.messages.history import LogMark
from ...store.messages.log import Stored
from ...wire.codecs import Frame
from ...wire.errors import Disconnect
from ...wire.events import Joined, Left, Outgoing, PresenceList
from ..bus.layer import Layer
from ..bus.notes import (
    Broadcast,
    Close,
    Direct,
    LogEvent,
    Note,
    People,
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
from .roster import Roster
from .topic import RoomTopic, State, Topic, room_topic

__all__ = ["Hub"]

logger = get_logger("realtime.hub")

PROBE_SECONDS = 1.0
"""How long a new subscription may take to be in force; until it is, the database is asked."""
LINGER_SECONDS = 60.0
"""How long a room that all have left is kept for those who come back."""
USER_LINGER_SECONDS = 5.0
"""Of topics without a log: enough for a page that is loaded anew."""
POLL_SECONDS = 1.0
"""How often the database is asked about a room of which nothing is heard."""
CROWD_SECONDS = 1.0
"""How often a crowded room is told how many are there."""
RECHECK_SECONDS, MEMBER_SECONDS, MOST_SECONDS = 0.5, 0.002, 5.0
"""The pause between two checks of the rights of all members; it grows with their number."""

PRESENCE_AT_ONCE = 500
"""How many joins and leaves one note carries, to bound its size."""


class Hub:
    """All topics of a process."""

    def __init__(
        self,
        origin: str,
        db: Database,
        revalidate: Callable[[list[str], str, str], None] = lambda connections, kind, which: None,
    ) -> None:
        self.layer = Layer(origin, self._receive, partial(db.read, site.identity))
        self._db = db
        self._revalidate = revalidate
        self._topics: dict[str, Topic] = {}
        self._rooms: dict[int, RoomTopic] = {}
        self._opening: dict[int, asyncio.Task[RoomTopic]] = {}
        self._flushers = (Flusher(rests=False), Flusher(rests=True))
        self.follower = LogFollower(db, self._spawn, self._linger)
        self._crowds: set[int] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Begin to hear and to send."""
        self.layer.start()
        for flusher in self._flushers:
            flusher.start()

    async def stop(self) -> None:
        """Send what is pending and end."""
        for task in list(self._tasks):
            task.cancel()
        for flusher in self._flushers:
            await flusher.stop()
        await self.layer.stop()

    def topic(self, name: str) -> Topic:
        """A topic without a log, opened on first use."""
        if name not in self._topics:
            self._topics[name] = Topic(name, self._flushers)
            self._spawn(self.layer.subscribe(name))
        return self._topics[name]

    async def open_room(self, room_id: int, slug: str, *, is_resumed: bool = False) -> RoomTopic:
        """A room's topic, live; opened once for all who wait.

        With `is_resumed` it starts with all that others may have missed: they will be many.
        """
        topic = self._rooms.get(room_id)
        if topic is not None and topic.state is not State.OPENING:
            topic.requested_at = asyncio.get_running_loop().time()
            return topic
        if room_id not in self._opening:
            self._opening[room_id] = self._spawn(self._open(room_id, slug, is_resumed))
        return await asyncio.shield(self._opening[room_id])

    def room(self, room_id: int) -> RoomTopic | None:
        """A room's topic if it is open here."""
        return self._rooms.get(room_id)

    @property
    def rooms(self) -> list[RoomTopic]:
        """The rooms that are live here."""
        return [topic for topic in self._rooms.values() if topic.state is not State.OPENING]

    def detach(self, topic: Topic, connection: str) -> None:
        """Take a connection out of a topic, which lingers for those who come right back."""
        topic.detach(connection)
        if not topic.members:
            self._linger(topic)

    # What happens here goes to our own members first, then to the other processes.

    def publish_message(self, stored: Stored) -> None:
        """Tell a room of a message that is committed."""
        event = Event.of_state(stored.slug, stored.state)
        room_id = stored.room_id
        self._receive_log(room_id, event, stored.epoch)
        self.layer.publish(room_topic(room_id), event.note(stored.epoch))

    def send_event(self, topic: str, outgoing: Outgoing, *, exclude: str = "") -> None:
        """Tell a topic something that is not stored; `exclude` is a connection that is left out."""
        self.publish(topic, Broadcast(Frame.of(outgoing).text, exclude))

    def publish_presence(self, announcement: presence.Announcement) -> None:
        """Tell rooms who came and who went."""
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
        """Take a note here, then tell the other processes; `sent` is as in `Layer.publish`."""
        self._dispatch(topic, note)
        self.layer.publish(topic, note, *sent)

    # What is heard.

    def _receive(self, topic: str, items: list[Any]) -> None:
        for item in items:
            try:
                self._dispatch(topic, decode(item))
            except UnknownKind as error:
                if topic in self._topics:
                    unknown = "topic %s: a note of the unknown kind %.60r was dropped"
                    logger.warning(unknown, topic, error.kind)
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
            case Close(code, reason, connection):
                for one in _recipients(topic, connection):
                    one.close(Disconnect(code, reason))
            case Direct(text, connection):
                for one in _recipients(topic, connection):
                    one.outbox.send(one.codec.join([Frame(text)]))
            case Revalidate(kind, which):
                self._revalidate(list(topic.members), kind, which)
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
                self._receive_log(topic.room_id, Event.of_text(text), epoch)
            case PresenceDiff():
                self._update_roster(topic, *note.read())
            case RightsChanged(user_id, seq):
                self._spawn(self._load_rights(topic, user_id, seq))

    def _receive_log(self, room_id: int, event: Event, epoch: str) -> None:
        if topic := self._rooms.get(room_id):
            self.follower.receive(topic, event, epoch)

    def _update_roster(self, topic: RoomTopic, joined: People, left: People) -> None:
        for user_id, username, connection in joined:
            topic.roster.add(user_id, username)
            if self._may_announce(topic):
                event = Joined(room=topic.slug, user_id=user_id, username=username)
                topic.deliver(Event(Frame.of(event), exclude=connection))
        for user_id, username, _ in left:
            topic.roster.remove(user_id)
            if self._may_announce(topic):
                gone = Left(room=topic.slug, user_id=user_id, username=username)
                topic.deliver(Event(Frame.of(gone)))
        if topic.roster.is_incomplete:
            self._spawn(self._reload_roster(topic))

    def _may_announce(self, topic: RoomTopic) -> bool:
        """Return whether a single `joined` or `left` is sent; otherwise `presence` follows soon.

        It is not sent in a large room, nor while joins and leaves cause too many deliveries.
        """
        loop = asyncio.get_running_loop()
        is_crowd = topic.roster.is_crowd
        if not is_crowd and not topic.presence_bucket.take(loop.time(), len(topic.members)):
            return True
        if topic.room_id not in self._crowds:
            self._crowds.add(topic.room_id)
            loop.call_later(CROWD_SECONDS, self._send_crowd_size, topic)
        return False

    def _send_crowd_size(self, topic: RoomTopic) -> None:
        self._crowds.discard(topic.room_id)
        self._deliver_roster(topic)

    def _deliver_roster(self, topic: RoomTopic) -> None:
        members, count = topic.roster.members(), topic.roster.count
        told = PresenceList(room=topic.slug, count=count, members=members)
        topic.deliver(Event(Frame.of(told)))

    # Opening and closing.

    async def _open(self, room_id: int, slug: str, is_resumed: bool) -> RoomTopic:
        topic = RoomTopic(room_id, slug, self._flushers, Roster(config().presence_events_up_to))
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
        # A layer's `group_add` may return before the subscription is in force; what comes back
        # through the group proves that it is.
        return await self.layer.subscribe(topic.name) and await self.layer.probe(
            topic.name, PROBE_SECONDS
        )

    def _linger(self, topic: Topic) -> None:
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
        # Somebody may be about to attach, and waits for the database before that.
        idle = asyncio.get_running_loop().time() - topic.requested_at
        return topic.state is not State.LIVE or idle < LINGER_SECONDS

    def _remove(self, topic: Topic) -> None:
        self._topics.pop(topic.name, None)
        if isinstance(topic, RoomTopic):
            self._rooms.pop(topic.room_id, None)
            self.follower.drop(topic)

    # Keeping up with the database.

    def positions(self) -> dict[int, int]:
        """How far each room has come here."""
        return {topic.room_id: topic.position.seq for topic in self.rooms}

    def compare(self, positions: dict[int, int], marks: dict[int, LogMark]) -> bool:
        """Repair what is behind what the database said a second ago.

        `positions` are those from just before `marks` were read. Returns whether some room
        was behind twice running, as where nothing is heard any more.
        """
        is_deaf = False
        broken: list[RoomTopic] = []
        for topic in self.rooms:
            mark, position = marks.get(topic.room_id), positions.get(topic.room_id)
            if position is None:
                continue
            if mark is None:  # the room is gone
                self._recheck(topic)
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
        """Have every member of a room whose rights have changed ask again what it may do there."""
        for room_id, mark in marks.items():
            topic = self._rooms.get(room_id)
            if topic is not None and mark.rights_seq > topic.rights_seq:
                topic.rights_seq = topic.room_rights_seq = mark.rights_seq
                self._recheck_all(topic)

    async def _load_rights(self, topic: RoomTopic, user_id: str, seq: int) -> None:
        mark = await self._db.load(history.marks, topic.room_id)
        if mark is None:
            return
        if user_id and seq <= min(topic.rights_seq + 1, mark.rights_seq):
            # The next change, or one that is counted already: nobody else is concerned.
            topic.rights_seq = max(topic.rights_seq, seq)
            self._recheck(topic, user_id)
        else:
            self.recheck({topic.room_id: mark})

    def _recheck_all(self, topic: RoomTopic) -> None:
        """Revalidate the rights of all members: at once, and once more for changes soon after.

        No member can use old rights meanwhile: its next command revalidates them.
        """
        if topic.is_recheck_due:
            return
        loop, members = asyncio.get_running_loop(), len(topic.members)
        pause = min(max(RECHECK_SECONDS, members * MEMBER_SECONDS), MOST_SECONDS)
        wait = topic.rechecked_at + pause - loop.time()
        if wait > 0:
            topic.is_recheck_due = True
            loop.call_later(wait, self._recheck_now, topic)
        else:
            self._recheck_now(topic)

    def _recheck_now(self, topic: RoomTopic) -> None:
        topic.is_recheck_due = False
        topic.rechecked_at = asyncio.get_running_loop().time()
        self._recheck(topic)

    def _recheck(self, topic: RoomTopic, user_id: str = "") -> None:
        for connection in list(topic.members.values()):
            connection.events.on_rights_changed(topic.slug, user_id)

    def correct_counts(self, counts: dict[int, int]) -> None:
        """Load the rosters that have drifted from what the database counts."""
        for topic in self.rooms:
            counted = counts.get(topic.room_id, 0)
            if counted != topic.roster.count or topic.roster.is_incomplete:
                self._spawn(self._reload_roster(topic))

    async def _reload_roster(self, topic: RoomTopic) -> None:
        before = topic.roster.count
        found = await self._db.read(presence.members, topic.room_id, config().presence_events_up_to)
        topic.roster.load(*found)
        if topic.roster.count != before:
            self._deliver_roster(topic)

    async def _poll(self, topic: RoomTopic) -> None:
        while topic.is_polled:
            await asyncio.sleep(POLL_SECONDS)
            if self._rooms.get(topic.room_id) is not topic:
                return
            with suppress(DatabaseError):  # the repair has logged it, and the pulse tries again
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
            logger.warning("a task of the hub failed: %r", error)


def _recipients(topic: Topic, connection: str) -> Iterable[Connection]:
    if not connection:
        return list(topic.members.values())
    return [topic.members[connection]] if connection in topic.members else []
