"""Sending in rounds: what is pending for a lane goes to all its members as the same bytes.

One flusher for each kind of lane: plain ones (one event a frame) flush at once; coalescing
ones rest after a round for about as long as it took, so that under load frames become
fewer and larger, while on an idle site nothing waits.
"""

import asyncio
import time

from ...logs import get_logger
from ...wire.codecs import Codec
from ...wire.packet import Packet
from ..connections.outbox import Outbox
from .event import Event

__all__ = ["Flusher", "Lane"]

logger = get_logger("realtime.flusher")

FAIR_MEMBERS = 256
"""After how many members the event loop gets a turn."""
FRAME_BYTES = 256 * 1024
"""The largest frame; Daphne ends a connection at 1 MiB."""
ROUND_EVENTS = 100
"""How many frames a member gets in one round where each event is a frame of its own."""
REST_SECONDS = 0.010


class Lane:
    """The members of a topic that use one encoding, and the events that wait for them.

    `position` is that of the log as far as it was sent.
    """

    __slots__ = (
        "_flusher",
        "_newcomers",
        "_pending",
        "_waiters",
        "codec",
        "members",
        "position",
    )

    def __init__(self, codec: Codec, flusher: "Flusher", position: int) -> None:
        self.codec = codec
        self.members: dict[str, Outbox] = {}
        self.position = position
        self._flusher = flusher
        self._pending: list[Event] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._newcomers: set[str] = set()

    def attach(self, outbox: Outbox) -> None:
        """Let a connection have what is taken from now on."""
        self.members[outbox.id] = outbox
        self._newcomers.add(outbox.id)

    def detach(self, connection: str) -> None:
        """Let a connection have no more."""
        del self.members[connection]
        self._newcomers.discard(connection)

    def put(self, event: Event) -> None:
        """Add an event; without members, and nothing before it, it is as good as sent."""
        if self.members or self._pending:
            if not self._pending:
                self._flusher.wake(self)
            self._pending.append(event)
        elif event.seq is not None:
            self.position = event.seq

    def next_batch(self) -> list[Event]:
        """Take what one round sends; from here on it counts as sent."""
        self._newcomers.clear()
        number = self._round_size()
        events, self._pending = self._pending[:number], self._pending[number:]
        for event in reversed(events):
            if event.seq is not None:
                self.position = event.seq
                break
        if self._pending:
            self._flusher.wake(self)
        else:
            self._all_taken()
        return events

    def is_due(self, connection: str) -> bool:
        """Whether a connection was here when the round was taken, and has been ever since."""
        return connection in self.members and connection not in self._newcomers

    def reset(self, position: int) -> None:
        """Drop what waits and start at another position."""
        self._pending.clear()
        self._all_taken()
        self.position = position

    def move(self, position: int) -> None:
        """Move over positions that have no event, once all before them is sent."""
        if not self._pending:
            self.position = max(self.position, position)

    async def flushed(self) -> None:
        """Wait until what is pending now was taken."""
        if self._pending:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def packet(self, events: list[Event], connection: str = "") -> Packet:
        """What carries events, without those that one connection does not get."""
        frames = [event.frame for event in events if not connection or event.exclude != connection]
        if self.codec.is_coalescing:
            return Packet([self.codec.join(frames)] if frames else [])
        return Packet([self.codec.join([frame]) for frame in frames])

    def _round_size(self) -> int:
        """So many events that a server can write them out before the next ones come."""
        size = 0
        for number, event in enumerate(self._pending):
            size += event.frame.size + 1
            if number and size > FRAME_BYTES:
                return number
            if number >= ROUND_EVENTS and not self.codec.is_coalescing:
                return number
        return len(self._pending)

    def _all_taken(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class Flusher:
    """Sends what is pending in lanes, each in a round of its own."""

    def __init__(self, *, rests: bool) -> None:
        self._rests = rests
        self._dirty: list[Lane] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self, lane: Lane) -> None:
        """Put a lane into the next round."""
        self._dirty.append(lane)
        self._wake.set()

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End them after what is pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._dirty:
            await self._round()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = time.perf_counter()
            await self._round()
            took = time.perf_counter() - began
            # A rest of zero still lets the server write out what it has.
            await asyncio.sleep(max(min(took, REST_SECONDS), took / 3) if self._rests else 0)

    async def _round(self) -> None:
        lanes, self._dirty = self._dirty, []
        for lane in lanes:
            try:
                await _flush(lane)
            except Exception:
                logger.exception("a round failed")


async def _flush(lane: Lane) -> None:
    events = lane.next_batch()
    try:
        packet = lane.packet(events)
    except Exception:
        events = [event for event in events if _is_sendable(lane, event)]
        packet = lane.packet(events)
    excluded = {event.exclude for event in events if event.exclude}
    for number, (connection, outbox) in enumerate(list(lane.members.items()), 1):
        if lane.is_due(connection):  # it may have left while others had their turn
            own = lane.packet(events, connection) if connection in excluded else packet
            if own.frames:
                outbox.post(own)
        if number % FAIR_MEMBERS == 0:
            await asyncio.sleep(0)


def _is_sendable(lane: Lane, event: Event) -> bool:
    """Whether an event can be encoded; another process may have sent what cannot."""
    try:
        lane.packet([event])
    except Exception as error:
        logger.warning("an event that cannot be encoded was dropped: %s", type(error).__name__)
        return False
    return True
