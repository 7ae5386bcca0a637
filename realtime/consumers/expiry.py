"""Token expiry: warn the client in time to send a new token, then close the connection."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["Expiry"]

WARN_SECONDS = 30.0


class Expiry:
    """Calls `warn` thirty seconds before the end, or at half of a shorter life, and then `end`."""

    def __init__(self, warn: Callable[[], None], end: Callable[[], None]) -> None:
        self._warn = warn
        self._end = end
        self._timers: list[asyncio.TimerHandle] = []

    def set(self, expires_at: float | None) -> None:
        """Replace the end, in seconds since the epoch; None means that there is none."""
        self.stop()
        if expires_at is None:
            return
        loop, left = asyncio.get_running_loop(), max(0.0, expires_at - time.time())
        warn_in = max(left - WARN_SECONDS, left / 2)
        self._timers = [loop.call_later(warn_in, self._warn), loop.call_later(left, self._end)]

    def stop(self) -> None:
        """Cancel both calls."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
