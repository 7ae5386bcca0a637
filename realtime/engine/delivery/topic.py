"""The topics to which a process subscribes, and their members in this process.

A topic has a lane for each encoding in use. Delivered events wait in the lanes until a flusher
sends them. The position of a lane does not include pending events.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...store.logs import LogMark
from ...wire.codecs import Codec
from ...wire.events import Outgoing
from ...wire.position import LogState, Position
from ..connections.connection import Connection
from .event import Event
from .flusher import Flusher, Lane
from .log import Log
from .ring import Ring
from .withholding import Doubts

if TYPE_CHECKING:
    from .topic_presence import TopicPresence

__all__ = ["AnyLogTopic", "Emptied", "LogTopic", "State", "Topic", "stay_open"]

L = TypeVar("L", bound=Log)
S = TypeVar("S", bound=LogState)

Emptied = Callable[["Topic"], None]


def stay_open(topic: "Topic") -> None:
    """Do nothing: the topic stays open without members."""


class Topic:
    """The members of one topic, by encoding.

    Connections subscribe to it by `Connection.subscribe`. `emptied` is called when it has lost
    its last member.
    """

    def __init__(
        self, name: str, flushers: tuple[Flusher, Flusher], emptied: Emptied = stay_open
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
            self._lanes[codec] = Lane(codec, flusher, self._seq, self.label)
        return self._lanes[codec]

    def attach(self, connection: Connection) -> bool:
        """Add a member, which gets the events from now on; return whether it was none before."""
        is_new = connection.id not in self.members
        self.members[connection.id] = connection
        self.lane(connection.codec).attach(connection.outbox)
        return is_new

    def watch(self, connection: Connection) -> None:
        """Add a member that gets no events, but is closed and checked as the others are."""
        self.members[connection.id] = connection

    def detach(self, connection: Connection) -> bool:
        """Remove a member; return whether it was one."""
        if self.members.pop(connection.id, None) is None:
            return False
        if (lane := self._lanes.get(connection.codec)) is not None:
            lane.detach(connection.id)
        if not self.members:
            self._emptied(self)
        return True

    def deliver(self, event: Event) -> None:
        """Send an event to all members that speak the protocol, in order."""
        for codec, lane in self._lanes.items():
            if codec.is_protocol:
                lane.put(event)

    is_for_clients = False
    """Whether clients subscribe to it; the others are for users, nodes and everyone."""

    def lane_of(self, connection: Connection) -> Lane | None:
        """Return the lane that sends to a member; None for one that gets no events."""
        lane = self._lanes.get(connection.codec)
        return lane if lane is not None and connection.id in lane.outboxes else None

    @property
    def label(self) -> str:
        """The name of a room or topic for administrators and spans; other topics have none."""
        return ""

    def lag_of(self, connection: Connection) -> int:
        """Return how many positions of the log a member has not been sent; 0 without a log."""
        lane = self.lane_of(connection)
        return 0 if lane is None else max(0, self.end - lane.position)

    @property
    def end(self) -> int:
        """The last position of the log that this process has heard of."""
        return self._seq

    @property
    def _seq(self) -> int:
        return 0


class State(Enum):
    """The states of a topic with a log."""

    OPENING = "opening"
    LIVE = "live"
    REPAIRING = "repairing"


class LogTopic(Topic, Generic[L, S]):
    """A topic with a log: the position in it, and its last changes in memory.

    Derived classes know what the log is of. They make its events.
    """

    EARLY = 1000
    """The most events beyond a gap that are kept until it is filled."""

    def __init__(
        self, log: L, flushers: tuple[Flusher, Flusher], emptied: Emptied = stay_open
    ) -> None:
        self.position = Position()
        super().__init__(log.key, flushers, emptied)
        self.log = log
        self.state = State.OPENING
        self.ring: Ring[S] = Ring([], 0, 0)
        self.early: dict[tuple[str, int], Event] = {}
        self.repair: asyncio.Task[None] | None = None
        self.extension: asyncio.Task[None] | None = None
        self.doubted: int | None = None
        """A position that an event has given to something else than this process knows."""
        self.marked = 0
        """The end of the log in the database, if this process was found to be behind it."""
        self.is_polled = False
        self.is_repair_due = False
        self.is_recheck_due = False
        self.rechecked_at = -math.inf
        self.requested_at = 0.0
        self._hole: int | None = None
        self._doubts: Doubts | None = None

    is_for_clients = True
    is_shared = True
    """Whether it is kept for a while without members, because several may come back."""
    presence: "TopicPresence | None" = None
    """Who is in the topic, if the topic shows that."""
    readers = 0
    """The connections that are being subscribed."""
    open_states = 100
    """The number of recent changes with which the topic starts, so that most resumes find them."""

    # What the log is of.

    def event_of(self, state: S, first: int | None = None) -> Event:
        """Return the event that carries a state; with `first`, it covers earlier positions too."""
        raise NotImplementedError

    def read_event(self, text: str) -> Event:
        """Return an event of this log that another process has encoded.

        Raises `msgspec.DecodeError` if the text is broken.
        """
        raise NotImplementedError

    def resync(self) -> Outgoing:
        """Return the event that has the members subscribe again."""
        raise NotImplementedError

    def recheck(self, connection: Connection, user_id: str = "") -> None:
        """Have a member recheck its rights; with `user_id`, only if it is that user."""
        raise NotImplementedError

    def start_again(self, connection: Connection) -> None:
        """Have a member subscribe again, because its position is invalid or it has missed much."""
        connection.unsubscribe(self)
        connection.reply(self.resync())
        self.recheck(connection)

    @property
    def end(self) -> int:
        """The last position that this process has heard of; its event may still be missing."""
        epoch, seq = self.position.epoch, self.position.seq
        early = (position for known, position in self.early if known == epoch)
        return max(seq, self.marked, *early)

    def detach(self, connection: Connection) -> bool:
        """Remove a member, as `Topic.detach` does."""
        if self._doubts:
            self._doubts.forget(connection.id)
        return super().detach(connection)

    # The version of rights.

    def start_rights(self, mark: LogMark) -> None:
        """Use the version of rights with which the topic starts or starts again."""
        raise NotImplementedError

    def knows_rights(self, mark: LogMark) -> bool:
        """Return whether the version of rights of the database is the known one."""
        raise NotImplementedError

    def accept_rights(self, mark: LogMark) -> bool:
        """Use the version of the database from now on; return whether it is another one."""
        raise NotImplementedError

    def accept_user_rights(self, mark: LogMark, seq: int) -> bool:
        """Use version `seq` if only the rights of one user differ; return whether that is so."""
        return False

    def doubt(self, members: Iterable[Connection], since: float) -> None:
        """Withhold events from members soon, unless their rights are confirmed before.

        Their rights may have changed at `since`, by the clock of the event loop.
        """
        self._doubts = self._doubts or Doubts(self)
        self._doubts.add(members, since)

    def confirm(self, connection: Connection, asked_at: float | None = None) -> None:
        """Deliver to a member again that has the right, by a question at this time, or by now."""
        if self._doubts:
            now = asyncio.get_running_loop().time()
            self._doubts.confirm(connection, now if asked_at is None else asked_at)

    # The position.

    def differs_from(self, mark: LogMark) -> bool:
        """Return whether a log with this end differs in more than its last position."""
        is_purged = mark.purged_seq > self.ring.purged_seq
        return is_purged or mark.epoch != self.position.epoch or not self.knows_rights(mark)

    def open(self, mark: LogMark, ring: Ring[S]) -> None:
        """Start at a position, with the recent changes up to there."""
        self.position.reset(mark.last_seq, mark.epoch)
        self.marked = 0
        self.start_rights(mark)
        self.ring = ring
        self._hole = None
        self.state = State.LIVE
        for lane in self._lanes.values():
            lane.reset(mark.last_seq)

    def adopt(self, epoch: str) -> bool:
        """Use the epoch of a log that had none, because it had no row; return whether that is so.

        This is no new epoch, so all positions stay valid.
        """
        if self.position.epoch or not epoch:
            return False
        self.position.epoch = epoch
        return True

    def keep(self, event: Event, epoch: str) -> None:
        """Keep an event that came before its turn."""
        if event.seq is not None and len(self.early) < self.EARLY:
            self.early.setdefault((epoch, event.seq), event)

    def next_early(self) -> Event | None:
        """Remove and return the early event whose turn has come, if any."""
        if not self.position.epoch and self.early:
            self.adopt(min(self.early, key=lambda key: key[1])[0])
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
            covering = self.event_of(event.state, self._hole)  # type: ignore[arg-type]
            covering.origin = event.origin
            event, self._hole = covering, None
        self.position.advance(event.seq or 0)
        self.deliver(event)

    def advance_over(self, states: Iterable[S], through: int) -> list[S]:
        """Deliver the changes beyond the position, and move to `through`; return the new ones."""
        new = [state for state in states if state.position > self.position.seq]
        for state in new:
            first = self.position.seq + 1
            covers = first if first < state.position else None
            self.advance(self.event_of(state, covers))
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


AnyLogTopic = LogTopic[Any, Any]
