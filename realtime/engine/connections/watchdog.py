"""Find commands that take long: pause reading from their client, and cancel them in the end."""

import asyncio

from ...conf import config
from .connection import Connection

__all__ = ["Watchdog"]

CHECK_SECONDS = 0.25
"""The pause between checks; a command that takes longer pauses reading from its client."""
LATE_SECONDS = 0.05
"""The time by which a check may be late."""


class Watchdog:
    """Since when each connection has been executing its command.

    One timer serves all: a timer for each command would cost more than most commands do.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, connection: Connection) -> None:
        """Note that a command begins, or the next part of one."""
        self._since[connection] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def finish(self, connection: Connection) -> None:
        """Note that the command of a connection is done."""
        self._since.pop(connection, None)

    def is_busy(self, connection: Connection) -> bool:
        """Return whether a connection executes a command."""
        return connection in self._since

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check) if self._since else None
        now, most = self._loop.time(), config().handler_seconds
        for connection, since in list(self._since.items()):
            if now - since > most - CHECK_SECONDS - LATE_SECONDS:  # the next check is too late
                self._since[connection] = now
                connection.give_up()
            elif now - since >= CHECK_SECONDS:
                connection.stop_reading()
