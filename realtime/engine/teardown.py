"""End an event loop whose engine was not stopped, as in a test of a site.

`asyncio.run` cancels every task once, and then waits for all of them without a timeout. A task of
the package or of a library that swallows this cancellation would block the loop, and the test.
"""

import asyncio
from collections.abc import Callable

from ..logs import get_logger

__all__ = ["Teardown"]

logger = get_logger("realtime.engine")

AGAIN_SECONDS = 0.2
TRIES = 25
"""After so many cancellations the loop is stopped: the test fails instead of hanging."""


class Teardown:
    """A task that waits to be cancelled with all others, and then cancels those that do not end.

    `abandoned` is called first. It may block, because nothing else runs in this loop.
    """

    def __init__(self, abandoned: Callable[[], None]) -> None:
        self._abandoned = abandoned
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start to wait for the end of the loop."""
        self._task = self._loop.create_task(self._wait_for_cancellation())
        # Not in the task itself: a task that is cancelled before its first step does nothing.
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Stop waiting, because the engine has ended its tasks itself."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _wait_for_cancellation(self) -> None:
        await self._loop.create_future()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._is_stopped:
            return
        tasks = asyncio.all_tasks(self._loop)
        self._abandoned()
        self._schedule(tasks, TRIES)

    def _schedule(self, tasks: set[asyncio.Task[object]], tries: int) -> None:
        self._loop.call_later(AGAIN_SECONDS, self._cancel_again, tasks, tries)

    def _cancel_again(self, tasks: set[asyncio.Task[object]], tries: int) -> None:
        """Cancel the tasks that have not ended; newer tasks belong to the shutdown of the loop."""
        left = {task for task in tasks if not task.done()}
        if not left:
            return
        if not tries:
            logger.error("the event loop is stopped, because these tasks do not end: %s", left)
            self._loop.stop()
            return
        for task in left:
            task.cancel()
        self._schedule(left, tries - 1)
