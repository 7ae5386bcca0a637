"""Events for one loop. Its position in the log is what counts: its buffer is only a cache."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..wire.failures import RealtimeError
from ..wire.position import Position
from .seen import Seen

__all__ = ["Loose", "Page", "Pages", "Placed", "Reset", "Stream"]

E = TypeVar("E")
RETRY_SECONDS = 1.0
MOST = 1000
"""How many events a stream keeps for a loop that is slow."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Events are missing here: they were removed, or the log has begun anew.

    What comes next is from the present state of the room or topic. `missed` is how many changes
    were skipped, if that is known.
    """

    missed: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """An event with its position in the log; None if it is not stored there.

    `epoch` is set where another epoch of the log begins.
    """

    event: Any
    position: int | None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events of a log, and the position that they reach."""

    events: list[Placed]
    through: int


class Pages(Protocol):
    """The log that a stream reads from."""

    @property
    def position(self) -> int:
        """The position up to which streams that are not behind have got all events."""

    async def ready(self) -> None:
        """Wait until pages can be read; raise `RealtimeError` if that will not be."""

    async def page(self, after: int, seen: Seen) -> Page:
        """Return the events after a position, for a loop that has seen some messages.

        Raises `RealtimeError`, with the code `resync` if they were removed.
        """

    def forget_stream(self, stream: "Stream[Any]") -> None:
        """Give a stream no more events."""


class Stream(Generic[E]):
    """An asynchronous iterator over events, for one loop.

    Stored events that do not fit the buffer are read again from the server when the loop gets
    there; what is not stored, such as typing, is dropped and counted in `dropped`. The iteration
    ends when the room or topic is left. It raises `RealtimeError` if the server removes the client
    from it, or if the connection ends for good.
    """

    def __init__(self, log: Pages, wanted: Callable[[Any], E | None]) -> None:
        self._log = log
        self._wanted = wanted
        self._buffer: deque[Placed] = deque()
        self._end: BaseException | None = None
        self._arrived, self._moved = asyncio.Event(), asyncio.Event()
        self._current: Placed | None = None
        self._is_behind = False
        self._seen: Seen | None = None
        """The events that the loop has got since it fell behind."""
        self._reached = 0
        """The position up to which the buffer has got all events."""
        self.has_begun = False
        """Whether it has a position, so that its loop must be told if the log is another one."""
        self.handled: Position | None = None
        """Where another client has to go on to get the first event that this loop has not handled.

        An event is handled when the loop asks for the next one.
        """
        self.dropped = 0

    # The log

    def put(self, placed: Placed) -> None:
        """Take the next event of the log."""
        if placed.position is None:
            self._put_loose(placed)
        elif not self._is_behind and len(self._buffer) < MOST:
            self._keep(placed)
        else:
            self._is_behind = True
            self._arrived.set()

    def fall_behind(self, epoch: str) -> None:
        """Know that the log went on without this stream, which must read what it lacks."""
        if self.handled is not None and not self.handled.epoch:
            self.handled.epoch = epoch  # the log has begun
        self._is_behind = True
        self._arrived.set()

    def begin_anew(self, shown: Sequence[Placed], position: int, epoch: str) -> None:
        """Take what shows the present state, and go on from its position."""
        self._is_behind, self._seen, self.has_begun = False, None, True
        self._moved.set()
        for placed in shown:
            self._keep(placed)
        self._reached = position
        if not shown:
            self.handled = Position(position, epoch)

    def skip_to(self, position: int) -> None:
        """Know that there are no other events up to a position."""
        if not self._is_behind:
            self._reached = position

    def end(self, error: RealtimeError | None) -> None:
        """End the iteration after what is in the buffer."""
        self._end = self._end or error or StopAsyncIteration()
        self._moved.set()
        self._arrived.set()

    def restart(self) -> None:
        """Go on after an end: the room or topic was entered again."""
        self._end = None

    # The loop

    def __aiter__(self) -> "Stream[E]":
        return self

    async def __anext__(self) -> E:
        while True:
            event = self._wanted((await self._next()).event)
            if event is not None:
                return event

    def mark_handled(self) -> None:
        """Count the last event as handled now, before the loop asks for the next one."""
        self._count_handled()

    def close(self) -> None:
        """Take no more events."""
        self._log.forget_stream(self)
        self.end(None)
        self._buffer.clear()

    async def __aenter__(self) -> "Stream[E]":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _next(self) -> Placed:
        self._count_handled()
        while not self._buffer:
            if self._end is not None:
                raise self._end.with_traceback(None)  # it is raised again and again
            await (self._catch_up() if self._is_behind else self._wait())
        self._current = self._buffer.popleft()
        return self._current

    def _count_handled(self) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        if current.epoch is not None:
            self.handled = Position(current.position or 0, current.epoch)
        elif self.handled is None:
            return
        elif current.position is not None:
            self.handled.seq = current.position
        if not self._buffer:
            self.handled.seq = self._reached

    async def _wait(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _catch_up(self) -> None:
        """Read the next page, unless the log begins anew for this stream meanwhile."""
        try:
            await self._log.ready()
            if not self._is_behind:
                return
            after, self._seen = self._reached, self._seen or Seen(self._reached)
            page = await self._log.page(after, self._seen)
        except RealtimeError as error:
            await self._bear(error)
            return
        if self._is_behind and self._reached == after:
            for placed in page.events:
                self._keep(placed)
            self._reached = page.through
            # What came since the page was read was not put here, as this stream was behind.
            self._is_behind = self._log.position > self._reached
            self._seen = self._seen if self._is_behind else None

    async def _bear(self, error: RealtimeError) -> None:
        """Wait before the next try; raise an error that ends the iteration."""
        if self._end is not None or error.code == "resync":
            return  # a log that is entered anew resets this stream
        if not error.is_retryable and error.code != "timeout":
            raise error
        self._moved.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(error.retry_after or RETRY_SECONDS):
                await self._moved.wait()

    def _keep(self, placed: Placed) -> None:
        self._buffer.append(placed)
        if placed.position is not None:
            self._reached = placed.position
        self._arrived.set()

    def _put_loose(self, placed: Placed) -> None:
        if self._is_behind or len(self._buffer) >= MOST:
            self.dropped += 1
        else:
            self._keep(placed)


class Loose(Generic[E]):
    """An asynchronous iterator over events that belong to no log.

    If the loop is slow, the oldest events are dropped and counted in `dropped`.
    """

    def __init__(self, kinds: tuple[type[E], ...]) -> None:
        self._kinds: Any = kinds or object
        self._buffer: deque[E] = deque(maxlen=MOST)
        self._arrived = asyncio.Event()
        self._end: RealtimeError | None = None
        self.dropped = 0

    def put(self, event: Any) -> None:
        """Take an event."""
        if isinstance(event, self._kinds):
            self.dropped += len(self._buffer) == MOST
            self._buffer.append(event)
            self._arrived.set()

    def end(self, error: RealtimeError) -> None:
        """End the iteration after what is in the buffer."""
        self._end = error
        self._arrived.set()

    def __aiter__(self) -> "Loose[E]":
        return self

    async def __anext__(self) -> E:
        while not self._buffer:
            if self._end is not None:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._buffer.popleft()
