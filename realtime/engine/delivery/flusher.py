"""Send in rounds: all members of a lane get its pending events as the same bytes.

There are two flushers, which rest after a round for about as long as it took: one for coalescing
lanes, and one for lanes with one event a frame, which rests only after long rounds. So clients get
their turns under load, and writes become fewer and larger. Nothing waits on an idle site.
"""

import asyncio
import time
from collections.abc import Callable

from ...counts import counts
from ...logs import get_logger
from ...spans import spans
from ...wire.codecs import Codec
from ...wire.packet import Packet
from ..connections.outbox import Outbox
from .event import Event
from .withholding import Withheld

__all__ = ["Flusher", "Lane"]

logger = get_logger("realtime.flusher")

FAIR_MEMBERS = 256
"""After so many members, other tasks of the event loop get a turn."""
FRAME_BYTES = 256 * 1024
"""The largest frame; Daphne closes a connection at 1 MiB."""
ROUND_EVENTS = 100
"""The most frames that a member gets in one round if each event is a frame."""
REST_SECONDS = 0.010
"""The longest rest after a round that takes less than three times as long."""
LONG_SECONDS, LONG_REST_SECONDS = 0.001, 0.005
"""A round that is long without coalescing, and the longest rest after it."""


class Lane:
    """The members of a topic that use one encoding, and their pending events.

    `position` is the last position of the log that was sent.
    """

    __slots__ = (
        "_flusher",
        "_newcomers",
        "_pending",
        "_waiters",
        "bytes_sent",
        "codec",
        "destination",
        "frames_sent",
        "outboxes",
        "position",
    )

    def __init__(
        self, codec: Codec, flusher: "Flusher", position: int, destination: str = ""
    ) -> None:
        self.codec = codec
        self.destination = destination
        """The name of the room or topic, for spans."""
        self.outboxes: dict[str, Outbox | Withheld] = {}
        self.position = position
        self.frames_sent = self.bytes_sent = 0
        """The frames and bytes that each member was sent since the beginning of the lane."""
        self._flusher = flusher
        self._pending: list[Event] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._newcomers: set[str] = set()

    def attach(self, outbox: Outbox) -> None:
        """Add a connection; it gets the events of later rounds.

        What was withheld from a member is dropped: it enters anew, with a reply that has it.
        """
        before = self.outboxes.get(outbox.id)
        if before is None:
            outbox.traffic.enter(self)
        elif isinstance(before, Withheld):
            before.drop()
        self.outboxes[outbox.id] = outbox
        self._newcomers.add(outbox.id)

    def detach(self, connection_id: str) -> None:
        """Remove a connection, if it gets the events of this lane."""
        if (outbox := self.outboxes.pop(connection_id, None)) is not None:
            outbox.traffic.leave(self)
        if isinstance(outbox, Withheld):
            outbox.drop()
        self._newcomers.discard(connection_id)

    def withhold(self, connection_id: str, overflow: Callable[[], None]) -> None:
        """Keep the events of a connection for now; `overflow` is called if they are too many."""
        outbox = self.outboxes.get(connection_id)
        if outbox is not None and not isinstance(outbox, Withheld):
            self.outboxes[connection_id] = Withheld(outbox, overflow)

    def release(self, connection_id: str) -> None:
        """Send a connection what was kept for it, and then every event at once again."""
        withheld = self.outboxes.get(connection_id)
        if isinstance(withheld, Withheld):
            self.outboxes[connection_id] = withheld.outbox
            withheld.release()

    def put(self, event: Event) -> None:
        """Add an event; with no members and no earlier events, it counts as sent."""
        if self.outboxes or self._pending:
            if not self._pending:
                self._flusher.wake(self)
            self._pending.append(event)
        elif event.seq is not None:
            self.position = event.seq

    def next_batch(self) -> list[Event]:
        """Remove and return the events of one round; they count as sent now."""
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
            self._wake_waiters()
        return events

    def is_due(self, connection_id: str) -> bool:
        """Return whether a connection has been a member since the round began."""
        return connection_id in self.outboxes and connection_id not in self._newcomers

    def reset(self, position: int) -> None:
        """Drop the pending events, and start at another position."""
        self._pending.clear()
        self._wake_waiters()
        self.position = position

    def move(self, position: int) -> None:
        """Skip positions that have no event, if all earlier events are sent."""
        if not self._pending:
            self.position = max(self.position, position)

    async def flushed(self) -> None:
        """Wait until the events that are pending now are sent."""
        if self._pending:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def packet(self, events: list[Event], connection_id: str = "") -> Packet:
        """Return the frames of events, without those that exclude the connection."""
        frames = [
            event.frame for event in events if not connection_id or event.exclude != connection_id
        ]
        if self.codec.is_coalescing:
            return Packet([self.codec.join(frames)] if frames else [])
        return Packet([self.codec.join([frame]) for frame in frames])

    def _round_size(self) -> int:
        """Return the number of events that a server can write before the next round."""
        size = 0
        for number, event in enumerate(self._pending):
            size += event.frame.size + 1
            if number and size > FRAME_BYTES:
                return number
            if number >= ROUND_EVENTS and not self.codec.is_coalescing:
                return number
        return len(self._pending)

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class Flusher:
    """Sends the pending events of lanes in rounds."""

    def __init__(self, *, coalesces: bool) -> None:
        self._coalesces = coalesces
        self._dirty: list[Lane] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self, lane: Lane) -> None:
        """Add a lane to the next round."""
        self._dirty.append(lane)
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether no lane has pending events."""
        return not self._dirty

    def start(self) -> None:
        """Start the rounds."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop the rounds, and send the pending events."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._dirty:
            await self._round()

    def rest_after(self, took: float, *, is_loaded: bool) -> float:
        """Return the rest after a round; `is_loaded`: events came during the last rest."""
        if self._coalesces:
            return max(min(took, REST_SECONDS), took / 3)
        if took < LONG_SECONDS:
            return 0
        return min(2 * took if is_loaded else took, LONG_REST_SECONDS)

    async def _run(self) -> None:
        is_loaded = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = time.perf_counter()
            await self._round()
            took = time.perf_counter() - began
            # Even a rest of zero lets the server write what it has.
            await asyncio.sleep(self.rest_after(took, is_loaded=is_loaded))
            is_loaded = self._wake.is_set()

    async def _round(self) -> None:
        lanes, self._dirty = self._dirty, []
        for lane in lanes:
            try:
                await _flush(lane)
            except Exception:
                logger.exception("the pending events of a lane cannot be sent")


async def _flush(lane: Lane) -> None:
    events = lane.next_batch()
    if not spans.is_on:
        await _deliver(lane, events)
        return
    origins = (event.origin for event in events)
    with spans.batch("deliver", origins, lane.destination, len(events)) as span:
        number = await _deliver(lane, events)
        span.note(connections=number, encoding=lane.codec.subprotocol)


async def _deliver(lane: Lane, events: list[Event]) -> int:
    """Send events to the members of a lane; return to how many."""
    try:
        packet = lane.packet(events)
    except Exception:
        events = [event for event in events if _is_sendable(lane, event)]
        packet = lane.packet(events)
    excluded = {event.exclude for event in events if event.exclude}
    members, others = list(lane.outboxes), 0
    lane.frames_sent += packet.number
    lane.bytes_sent += packet.size
    for number, connection_id in enumerate(members, 1):
        if not lane.is_due(connection_id):  # it has left during a turn of other tasks
            others += 1
        elif connection_id in excluded:
            others += 1
            _send_own(lane, events, packet, connection_id)
        elif packet.frames:
            lane.outboxes[connection_id].deliver(packet)
        if number % FAIR_MEMBERS == 0:
            await asyncio.sleep(0)
    counts.deliver(len(events), packet.number, packet.size, len(members) - others)
    return len(members) - others


def _send_own(lane: Lane, events: list[Event], packet: Packet, connection_id: str) -> None:
    """Send a connection the events that do not exclude it, in the place of a packet with all."""
    own, outbox = lane.packet(events, connection_id), lane.outboxes[connection_id]
    counts.deliveries += sum(event.exclude != connection_id for event in events)
    outbox.traffic.replace(packet, own)
    if own.frames:
        outbox.deliver(own)


def _is_sendable(lane: Lane, event: Event) -> bool:
    """Return whether an event can be encoded; one of another process may be broken."""
    try:
        lane.packet([event])
    except Exception as error:
        logger.warning("an event that cannot be encoded was dropped: %s", type(error).__name__)
        return False
    return True
