"""Heartbeat: ping a client after one silent interval, close it after a second one."""

import asyncio
import math
import random
from collections.abc import Callable

from ..conf import config

__all__ = ["Heartbeat"]

TURN_SECONDS = 1.0
"""Clients are checked in turns of the event loop that are so many seconds apart."""
RECENT_SECONDS = 1.0
"""A client that sent something within so many seconds is not pinged."""
LATE_SECONDS = 1.0
"""A check that is later than this shows that the server was stalled: it proves no silence."""


class Heartbeat:
    """Calls `ping` after one silent heartbeat of a connection, and `end` after a second one.

    While `is_busy()`, silence proves nothing: a command is running, or output is still queued.
    All clients that are due within a second share one turn: a client that is pinged alone, and
    answers alone, costs ten times as much (docs/performance.md). A jitter of a tenth of a
    heartbeat spreads clients that connected together.
    """

    __slots__ = ("_due", "_end", "_is_busy", "_is_pinged", "_loop", "_ping", "_timer", "heard_at")

    heard_at: float
    """When the client last sent something, by the clock of the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ping: Callable[[], None],
        end: Callable[[], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._ping = ping
        self._end = end
        self._is_busy = is_busy
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.received()

    def received(self) -> None:
        """Record that the client has sent something."""
        self.heard_at = self._loop.time()
        self._is_pinged = False

    def start(self) -> None:
        """Start the timer."""
        self.received()
        self._wait(self.heard_at)

    @property
    def seconds(self) -> float:
        """Seconds since the client last sent something; 0 if the heartbeat does not run."""
        return 0.0 if self._timer is None else self._loop.time() - self.heard_at

    def probe(self, seconds: float) -> bool:
        """Ping now, and close the connection unless the client answers within so many seconds.

        Returns False, and does nothing, if the client has sent something lately or is busy.
        """
        if self._timer is None or self.seconds < RECENT_SECONDS or self._is_busy():
            return False
        if not self._is_pinged:
            self._is_pinged = True
            self._ping()
        self._timer.cancel()
        self._due = min(self._due, self._loop.time() + seconds)
        self._timer = self._loop.call_at(self._due, self._check)
        return True

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        now = self._loop.time()
        if self._is_busy() or now > self._due + LATE_SECONDS:
            self.received()
        if self._is_pinged:
            self._timer = None
            self._end()
        elif now - self.heard_at >= _least(config().heartbeat_seconds):
            self._is_pinged = True
            self._ping()
            self._wait(now)
        else:
            self._wait(self.heard_at)

    def _wait(self, since: float) -> None:
        heartbeat = config().heartbeat_seconds
        turn = min(TURN_SECONDS, heartbeat / 10)
        due = since + random.uniform(_least(heartbeat), heartbeat)  # noqa: S311 - no secret
        self._due = math.ceil(due / turn) * turn
        self._timer = self._loop.call_at(self._due, self._check)


def _least(heartbeat: float) -> float:
    return heartbeat * 0.9
