"""How long one connection may run before the event loop looks after the others.

A client's frames are decoded and carried out without a pause where nothing has to be waited for,
and a client may send thousands at once.
"""

import asyncio
import time

__all__ = ["Passes", "Turn"]

TURN_SECONDS = 0.005
"""Long enough to carry out what a busy client sends in one chunk (64 messages take about 3 ms).

Where a turn ends before that, its messages are written and sent in twice as many rounds: with 2 ms
a room of 200 got a fifth fewer messages a second.
"""


class Passes:
    """Counts the passes of the event loop, as far as connections run in them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._number = 0
        self._is_counting = False

    @property
    def number(self) -> int:
        """Which pass this is."""
        if not self._is_counting:
            self._is_counting = True
            self._loop.call_soon(self._end)
        return self._number

    def _end(self) -> None:
        self._number += 1
        self._is_counting = False


class Turn:
    """The turn of one connection in each pass."""

    __slots__ = ("_began", "_number", "_passes")

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._number = -1
        self._began = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the connection has run long enough in this pass; the first time begins it."""
        now, number = time.perf_counter(), self._passes.number
        if number != self._number:
            self._number, self._began = number, now
        return now - self._began > TURN_SECONDS
