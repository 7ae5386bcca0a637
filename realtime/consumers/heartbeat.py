"""Heartbeat: ping a client after one silent interval, close it after a second one."""

import asyncio
import math
import random
from collections.abc import Callable

from ..conf import config

__all__ = ["Heartbeat"]

TURN_SECONDS = 1.0
"""How far apart the turns of the event loop are in which clients are looked at."""
RECENT_SECONDS = 1.0
"""A client that sent something within so many seconds is not pinged."""
LATE_SECONDS = 1.0
"""A look that comes later than this tells of the server's own absence, not of a client's."""


class Heartbeat:
    """Calls `ask` after a heartbeat in which a connection said nothing, and `end` after another.

    While `is_busy` says so it is not listened to, or what it was asked has yet to reach it.
    All that are due within a second have one turn: a client that is asked alone, and answers
    alone, costs ten times as much (docs/performance.md). Up to a tenth of a heartbeat by chance
    spreads those that came together.
    """

    __slots__ = ("_ask", "_due", "_end", "_heard_at", "_is_asked", "_is_busy", "_loop", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ask: Callable[[], None],
        end: Callable[[], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._end = end
        self._is_busy = is_busy
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.received()

    def received(self) -> None:
        """Somebody is there."""
        self._heard_at = self._loop.time()
        self._is_asked = False

    def start(self) -> None:
        """Begin to look."""
        self.received()
        self._wait(self._heard_at)

    @property
    def seconds(self) -> float:
        """Seconds since the client last sent something; 0 if the heartbeat does not run."""
        return 0.0 if self._timer is None else self._loop.time() - self._heard_at

    def probe(self, seconds: float) -> bool:
        """Ping now, and close the connection unless the client answers within so many seconds.

        Returns False, and asks nothing, where it was heard lately or is not listened to.
        """
        if self._timer is None or self.seconds < RECENT_SECONDS or self._is_busy():
            return False
        if not self._is_asked:
            self._is_asked = True
            self._ask()
        self._timer.cancel()
        self._due = min(self._due, self._loop.time() + seconds)
        self._timer = self._loop.call_at(self._due, self._look)
        return True

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._is_busy() or now > self._due + LATE_SECONDS:
            self.received()
        if self._is_asked:
            self._timer = None
            self._end()
        elif now - self._heard_at >= _least(config().heartbeat_seconds):
            self._is_asked = True
            self._ask()
            self._wait(now)
        else:
            self._wait(self._heard_at)

    def _wait(self, since: float) -> None:
        heartbeat = config().heartbeat_seconds
        turn = min(TURN_SECONDS, heartbeat / 10)
        due = since + random.uniform(_least(heartbeat), heartbeat)  # noqa: S311 - no secret
        self._due = math.ceil(due / turn) * turn
        self._timer = self._loop.call_at(self._due, self._look)


def _least(heartbeat: float) -> float:
    return heartbeat * 0.9
