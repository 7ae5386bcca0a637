"""The calls of one connection: in order for each topic, and a few topics at once.

A call is answered once: by its handler, or as `unavailable` after `HANDLER_SECONDS`. A thread
cannot be interrupted. So a handler that has begun keeps its turn until it ends, also after the
client has got its answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...engine.connections.phase import Phase
from ...engine.servers.exits import contained
from ...logs import get_logger
from ...topics.topic import Topic
from ...wire.commands import Call
from ...wire.errors import CommandError, ErrorCode
from ..execution import OWN_CANCELLATION

__all__ = ["CallQueue", "PendingCall"]

logger = get_logger("realtime.consumer")

AT_ONCE = 4
"""The topics of one connection whose calls run at the same time."""
IN_FLIGHT = 64
"""The calls of one connection that may wait or run; after that, its next call is not read."""
NOT_BEGUN = _("The call has waited too long, and was not executed. Try again in a moment.")
NOT_ENDED = _("The call takes too long. It may still be executed.")

Answer = Callable[[CommandError], None]


class PendingCall:
    """A call that waits or runs, and its one answer."""

    __slots__ = ("_refuse", "_timer", "_work", "command", "is_answered", "topic")

    def __init__(
        self,
        topic: Topic,
        command: Call,
        refuse: Answer,
        expired: Callable[["PendingCall"], None],
    ) -> None:
        self.topic = topic
        self.command = command
        self.is_answered = False
        self._refuse = refuse
        self._work: Future[Any] | asyncio.Task[Any] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(config().handler_seconds, expired, self)

    def begin(self, phase: Phase) -> None:
        """Raise `CommandError` if the handler must not begin.

        So it is if the call is answered, or its connection closes: the user may be sent away.
        """
        if self.is_answered or phase is not Phase.OPEN:
            raise CommandError(ErrorCode.UNAVAILABLE, NOT_BEGUN)

    async def in_thread(self, future: Future[Any]) -> Any:
        """Wait for a handler in a thread, also after the call was answered."""
        self._work = future
        return await self._end(asyncio.wrap_future(future))

    async def in_loop(self, handler: Coroutine[Any, Any, Any]) -> Any:
        """Run a handler in the event loop; it is cancelled if it takes too long."""
        self._work = task = asyncio.get_running_loop().create_task(contained(handler))
        return await self._end(task)

    def claim_answer(self) -> bool:
        """Count the call as answered; return whether the caller has to send the answer."""
        is_first, self.is_answered = not self.is_answered, True
        self._timer.cancel()
        return is_first

    def refuse(self, error: CommandError) -> None:
        """Answer with an error, unless there was an answer."""
        if self.claim_answer():
            self._refuse(error)

    def expire(self) -> bool:
        """Answer that the call takes too long; return whether its handler has begun."""
        has_begun = self._stop()
        message, outcome = (NOT_ENDED, "unknown") if has_begun else (NOT_BEGUN, None)
        error = CommandError(ErrorCode.UNAVAILABLE, message, retry_after=1, outcome=outcome)
        self.refuse(error)
        return has_begun

    def drop(self) -> None:
        """End the call without an answer, because the connection is gone."""
        if self.claim_answer():
            self._stop()

    def _stop(self) -> bool:
        """Stop the handler where possible; return whether it has begun."""
        if self._work is None:
            return False
        is_stopped = self._work.cancel()
        return isinstance(self._work, asyncio.Task) or not is_stopped

    async def _end(self, work: asyncio.Future[Any]) -> Any:
        # Not awaited directly: its cancellation would look like one of the task that waits for it.
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the connection is gone
            work.add_done_callback(_log_failure)
            raise
        if work.cancelled() and not self.is_answered:
            raise RuntimeError(OWN_CANCELLATION)
        if work.cancelled():
            raise CommandError(ErrorCode.UNAVAILABLE, NOT_ENDED, retry_after=1, outcome="unknown")
        return work.result()


class CallQueue:
    """Executes the calls of a connection; `execute` answers one, and raises nothing."""

    def __init__(self, execute: Callable[[PendingCall], Awaitable[None]]) -> None:
        self._execute = execute
        self._waiting: dict[str, dict[PendingCall, None]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._calls: set[PendingCall] = set()
        self._slot_free = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of calls that wait or run."""
        return len(self._calls)

    async def add(self, topic: Topic, command: Call, refuse: Answer) -> None:
        """Queue a call behind the others to its topic; wait while too many are in flight."""
        await self.until_fewer(IN_FLIGHT)
        call = PendingCall(topic, command, refuse, self._expire)
        self._calls.add(call)
        if topic.name in self._waiting:
            self._waiting[topic.name][call] = None
            return
        self._waiting[topic.name] = {call: None}
        worker = asyncio.get_running_loop().create_task(self._work(topic.name))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def until_fewer(self, most: int) -> None:
        """Wait until fewer calls than that wait or run."""
        while len(self._calls) >= most:
            self._slot_free.clear()
            await self._slot_free.wait()

    def close(self) -> None:
        """Drop what waits, and cancel what runs in the event loop."""
        for worker in self._workers:
            worker.cancel()
        for call in self._calls:
            call.drop()

    async def _work(self, name: str) -> None:
        waiting = self._waiting[name]
        try:
            while waiting:
                async with self._turns:
                    if waiting:  # they may have expired meanwhile
                        await self._execute_next(waiting)
        finally:
            del self._waiting[name]

    async def _execute_next(self, waiting: dict[PendingCall, None]) -> None:
        call = next(iter(waiting))
        del waiting[call]
        await self._execute(call)
        self._discard(call)

    def _expire(self, call: PendingCall) -> None:
        if not call.expire():
            self._waiting.get(call.topic.name, {}).pop(call, None)
            self._discard(call)

    def _discard(self, call: PendingCall) -> None:
        self._calls.discard(call)
        self._slot_free.set()


def _log_failure(work: asyncio.Future[Any]) -> None:
    if not work.cancelled() and (error := work.exception()):
        logger.error("a call failed after its connection had closed", exc_info=error)
