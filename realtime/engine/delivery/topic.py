"""The topics to which a process subscribes, and their members in this process.

A topic has a lane for each encoding in use. Delivered events wait in the lanes until a flusher
sends them. The position of a lane does not include pending events.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from enum import Enum

from ...store.messages.history import LogMark
from ...wire.codecs import Codec
from ...wire.events import MessageState
from ...wire.position import Position
from ...wire.ratelimit import Bucket
from ..connections.connection import Connection
from .event import Event
from .flusher import Flusher, Lane
from .ring import Ring
from .roster import Roster

__all__ = ["RoomTopic", "State", "Topic", "room_topic"]

PRESENCE_PER_SECOND, PRESENCE_BURST = 5_000, 10_000
"""The deliveries of `joined` and `left` that a room may cause before `presence` replaces them."""


Emptied = Callable[["Topic"], None]


def room_topic(room_id: int) -> str:
    """Return the name of a room's topic."""
    return f"room.{room_id}"


def _stay_open(topic: "Topic") -> None:
    """Do nothing: the topic stays open without members."""


class Topic:
    """The members of one topic, by encoding.

    Connections subscribe to it by `Connection.subscribe`. `emptied` is called when it has lost
    its last member.
    """

    def __init__(
        self, name: str, flushers: tuple[Flusher, Flusher], emptied: Emptied = _stay_open
    ) -> None:
        self.name = name
        self._flushers = flushers
        self._emptied = emptied
        self._lanes: dict[Codec, Lane] = {}
        self.members: dict[str, Connection] = {}

    def lane(self, codec: Codec) -> Lane:
        """Return the lane of an encoding."""
        if codec not in self._lanes:
            plain, coalescing = self._flushers
            flusher = coalescing if codec.is_coalescing else plain
            self._lanes[codec] = Lane(codec, flusher, self._seq)
        return self._lanes[codec]

    def attach(self, connection: Connection) -> bool:
        """Add a member, which gets the events from now on; return whether it was none before."""
        is_new = connection.id not in self.members
        self.members[connection.id] = connection
        self.lane(connection.codec).attach(connection.outbox)
        return is_new

    def detach(self, connection: Connection) -> bool:
        """Remove a member; return whether it was one."""
        if self.members.pop(connection.id, None) is None:
            return False
        self._lanes[connection.codec].detach(connection.id)
        if not self.members:
            self._emptied(self)
        return True

    def deliver(self, event: Event) -> None:
        """Send an event to all members, in order."""
        for lane in self._lanes.values():
            lane.put(event)

    @property
    def _seq(self) -> int:
        return 0


class State(Enum):
    """The states of a room's topic."""

    OPENING = "opening"
    LIVE = "live"
    REPAIRING = "repairing"


class RoomTopic(Topic):
    """A room's topic: the position in its log, its recent messages, and its users."""

    EARLY = 1000
    """The most events beyond a gap that are kept until it is filled."""

    def __init__(
        self,
        room_id: int,
        slug: str,
        flushers: tuple[Flusher, Flusher],
        roster: Roster,
        emptied: Emptied = _stay_open,
    ) -> None:
        self.position = Position()
        super().__init__(room_topic(room_id), flushers, emptied)
        self.room_id = room_id
        self.slug = slug
        self.state = State.OPENING
        self.roster = roster
        self.ring = Ring([], 0, 0)
        self.rights_seq = 0
        """The last change of rights that this process knows."""
        self.members_rights_seq = 0
        """The last change that concerned all members; one of a user only raises `rights_seq`."""
        self.early: dict[tuple[str, int], Event] = {}
        self.repair: asyncio.Task[None] | None = None
        self.extension: asyncio.Task[None] | None = None
        self.is_polled = False
        self.is_repair_due = False
        self.is_recheck_due = False
        self.rechecked_at = -math.inf
        self.presence_bucket = Bucket(PRESENCE_PER_SECOND, PRESENCE_BURST, 0)
        self.times_behind = 0
        self.requested_at = 0.0
        self._hole: int | None = None

    def open(self, mark: LogMark, ring: Ring) -> None:
        """Start at a position, with the recent changes up to there."""
        self.position.reset(mark.last_seq, mark.epoch)
        # A note of newer rights may have come while the topic was being opened.
        is_new = self.state is State.OPENING
        self.rights_seq = max(self.rights_seq if is_new else 0, mark.rights_seq)
        self.members_rights_seq = self.rights_seq
        self.ring = ring
        self._hole = None
        self.state = State.LIVE
        for lane in self._lanes.values():
            lane.reset(mark.last_seq)

    def keep(self, event: Event, epoch: str) -> None:
        """Keep an event that came before its turn."""
        if event.seq is not None and len(self.early) < self.EARLY:
            self.early.setdefault((epoch, event.seq), event)

    def next_early(self) -> Event | None:
        """Remove and return the early event whose turn has come, if any."""
        if event := self.early.pop((self.position.epoch, self.position.seq + 1), None):
            return event
        for epoch, seq in sorted(self.early):
            if epoch == self.position.epoch and seq > self.position.seq:
                first = self.early[epoch, seq].first
                if (seq if first is None else first) > self.position.seq + 1:
                    return None
                return self.early.pop((epoch, seq))
            del self.early[epoch, seq]
        return None

    def drop_early(self, keys: Iterable[tuple[str, int]]) -> None:
        """Drop early events that lie beyond the end of the log."""
        for key in keys:
            if key[1] > self.position.seq:
                self.early.pop(key, None)

    def advance(self, event: Event) -> None:
        """Deliver the next event of the log, and move to its position."""
        if event.seq is None or event.state is None:
            raise ValueError("only an event of the log has a position")
        if self._hole is not None:
            event = Event.of_state(self.slug, event.state, self._hole)
            self._hole = None
        self.position.advance(event.seq or 0)
        self.deliver(event)

    def advance_over(self, states: Iterable[MessageState], through: int) -> list[MessageState]:
        """Deliver the changes beyond the position, and move to `through`; return the new ones."""
        new = [state for state in states if state.position > self.position.seq]
        for state in new:
            first = self.position.seq + 1
            covers = first if first < state.position else None
            self.advance(Event.of_state(self.slug, state, covers))
        if through > self.position.seq:
            # Positions without a row: the next event has to cover them.
            self._hole = self.position.seq + 1 if self._hole is None else self._hole
            self.position.advance(through)
            for lane in self._lanes.values():
                lane.move(through)
        return new

    @property
    def _seq(self) -> int:
        return self.position.seq
