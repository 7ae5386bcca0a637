"""Commands that take long: nothing more is read meanwhile, and in the end they are given up."""

import asyncio

from ...conf import config
from .connection import Connection

__all__ = ["Watchdog"]

CHECK_SECONDS = 0.25
"""How often it looks: so long a command may take before nothing more is read from its client."""
LATE_SECONDS = 0.05
"""How late a look may come."""


class Watchdog:
    """Knows who is busy since when.

    One timer for all: one for each command would cost more than most commands do.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: Connection) -> None:
        """A command begins now, or the next part of one."""
        self._since[one] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def finish(self, one: Connection) -> None:
        """It is done."""
        self._since.pop(one, None)

    def is_busy(self, one: Connection) -> bool:
        """Whether it has a command in hand."""
        return one in self._since

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check) if self._since else None
        now, most = self._loop.time(), config().handler_seconds
        for one, since in list(self._since.items()):
            if now - since > most - CHECK_SECONDS - LATE_SECONDS:  # at the next it is too late
                self._since[one] = now
                one.give_up()
            elif now - since >= CHECK_SECONDS:
                one.stop_reading()
