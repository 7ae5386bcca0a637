"""Check the rights of one connection again, in rooms and in topics alike.

A note about a change only says that rights may have changed. The check reads them from the
database; until that succeeds, it is tried again.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from django.db import Error as DatabaseError

from ...logs import get_logger
from ...wire.errors import CommandError
from ..servers.exits import contained

__all__ = ["AGAIN_SECONDS", "UNDECIDED_SECONDS", "Rechecks"]

logger = get_logger("realtime.rights")

AGAIN_SECONDS = 1.0
"""If the database fails, rights are read again after so many seconds."""
UNDECIDED_SECONDS = 60.0
"""A subscription whose rights cannot be read for so long ends."""


class Rechecks:
    """The running checks of a connection, by the names of rooms or topics; one at a time for each.

    `is_due(name)` tells whether the rights may have changed since they were read, and the
    connection is still there. `refresh(name)` reads and applies them; it raises `CommandError` if
    the connection had to leave. `give_up(name, seconds)` is called after a failure of the database,
    with the time since the first one, and may end the subscription. If the site's own code has
    failed, trying again does not help: then the time is infinite.
    """

    def __init__(
        self,
        connection_id: str,
        is_due: Callable[[str], bool],
        refresh: Callable[[str], Awaitable[None]],
        give_up: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        self._id = connection_id
        self._is_due = is_due
        self._refresh = refresh
        self._give_up = give_up
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        """Begin a check; one that runs already notices by `is_due` that it has to go on."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.get_running_loop().create_task(self._run(name))

    def stop(self) -> None:
        """Cancel all checks."""
        for task in self._tasks.values():
            task.cancel()

    async def _run(self, name: str) -> None:
        began = asyncio.get_running_loop().time()
        try:
            while self._is_due(name):
                try:
                    await contained(self._refresh(name))
                except DatabaseError as error:
                    await self._wait(name, error, began)
        except CommandError as error:  # the client has got a `removed` event
            logger.info("connection %s was removed from %r: %s", self._id, name, error.code)
        except Exception:  # of the site's own code; the next command raises it as well
            logger.exception("connection %s: reading rights in %r failed", self._id, name)
            self._give_up(name, math.inf)
        finally:
            del self._tasks[name]

    async def _wait(self, name: str, error: Exception, began: float) -> None:
        logger.warning("connection %s: reading rights in %r failed: %r", self._id, name, error)
        self._give_up(name, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(AGAIN_SECONDS)
