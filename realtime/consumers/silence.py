"""Who says nothing is asked whether it is there, and ended if that is not answered."""

import asyncio
import math
from collections.abc import Callable

from ..conf import config

__all__ = ["Silence"]

TURN_SECONDS = 1.0
"""So often is looked for the silent."""


class Silence:
    """Calls `ask` when a connection was silent for a heartbeat, and `end` when it was for two.

    While `is_busy` says so the server itself does not listen. All that are due within a second
    have one turn of the event loop: a client that is asked alone, and answers alone, costs ten
    times as much.
    """

    __slots__ = ("_ask", "_end", "_heard_at", "_is_busy", "_loop", "_timer")

    def __init__(
        self, ask: Callable[[], None], end: Callable[[], None], is_busy: Callable[[], bool]
    ) -> None:
        self._ask = ask
        self._end = end
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.hear()

    def hear(self) -> None:
        """Somebody is there."""
        self._heard_at = self._loop.time()

    def watch(self) -> None:
        """Look, now and whenever something may be due."""
        if self._is_busy():
            self.hear()
        heartbeat, now = config().heartbeat_seconds, self._loop.time()
        due = self._heard_at + heartbeat
        if due + heartbeat <= now:
            self._end()
            return
        if due <= now:
            self._ask()
            due += heartbeat
        turn = min(TURN_SECONDS, heartbeat / 10)
        self._timer = self._loop.call_at(math.ceil(due / turn) * turn, self.watch)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
