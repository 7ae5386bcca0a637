"""The tasks of one connection that run beside its commands."""

import asyncio
from collections.abc import Coroutine
from inspect import iscoroutine
from typing import Any

from ..engine.connections.connection import Connection
from ..engine.connections.phase import Phase
from ..engine.servers.exits import contained
from ..logs import get_logger
from ..wire.errors import CloseCode, Disconnect

__all__ = ["Background"]

logger = get_logger("realtime.consumer")

STOP_SECONDS = 1.0
"""The longest wait for cancelled tasks to end."""


class Background:
    """Runs coroutines until the connection closes; one that fails closes it."""

    __slots__ = ("_connection", "_is_stopped", "_tasks")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Start a coroutine; raise `RuntimeError` if the connection is closed, or in a thread."""
        if not iscoroutine(work):
            raise TypeError(f"spawn() needs a coroutine, not {work!r}: call the function first.")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            work.close()
            raise RuntimeError("spawn() needs an async handler: write `async def`.") from None
        if self._is_stopped or self._connection.phase is Phase.CLOSED:
            work.close()
            raise RuntimeError("The connection is closed: nothing can run in its background.")
        task = loop.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may be cancelled before it begins
        return task

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended; start no others."""
        self._is_stopped = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, running = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        if running:
            logger.warning(
                "connection %s: %d background tasks ignore their cancellation",
                self._connection.id,
                len(running),
            )

    async def _run(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await contained(work)
        except Disconnect as why:
            self._connection.close(why)
        except Exception:
            logger.exception("connection %s: a background task failed", self._connection.id)
            self._connection.close(Disconnect(CloseCode.INTERNAL))
