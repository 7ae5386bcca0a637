"""Execute what a client has sent: in turns, as it is paid for, alone or in batches."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..engine.connections.phase import Phase
from ..engine.connections.turns import Turn
from ..logs import get_logger
from ..spans import spans, within
from ..wire.errors import REASONS, CloseCode, CommandError, Disconnect, ErrorCode
from ..wire.handlers import Batching
from .failures import Failures
from .handlers import Handler

if TYPE_CHECKING:
    from .base import Consumer

__all__ = [
    "OBJECT_BYTES",
    "OPEN",
    "OWN_CANCELLATION",
    "Execution",
    "check_cancelled",
    "checked_list",
]

logger = get_logger("realtime.consumer")

T = TypeVar("T")
OPEN = Phase.OPEN
"""A constant, because the member of an enum is slow to look up for each command."""
OBJECT_BYTES = 512
"""The cost of an object or raw frame besides its size, in bytes of the allowance."""
OWN_CANCELLATION = "The handler has raised CancelledError, but nothing has cancelled it."
INTERNAL = REASONS[CloseCode.INTERNAL]


class Batch(Generic[T]):
    """What is gathered for one handler, and when it is due by the clock of the event loop."""

    __slots__ = ("due", "handler", "items")

    def __init__(self, handler: Handler, due: float) -> None:
        self.handler = handler
        self.due = due
        self.items: list[T] = []


class Execution(ABC, Generic[T]):
    """Executes items of one connection, which are commands or raw frames."""

    __slots__ = ("_batch", "_connection", "_consumer", "_engine", "_failures", "_turn")

    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._engine = consumer.engine
        self._turn = Turn(consumer.engine.passes)
        self._batch: Batch[T] | None = None
        self._failures = Failures()

    @property
    def due(self) -> float | None:
        """When the gathered items have to be handled; None if there are none."""
        return None if self._batch is None else self._batch.due

    @abstractmethod
    async def execute(self, frame: str | bytes) -> None:
        """Execute a frame; raise `Disconnect` to close the connection."""

    @abstractmethod
    def refuse_large(self) -> None:
        """Refuse a frame that was too large to be read."""

    async def flush(self) -> None:
        """Handle what is gathered."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if self._connection.phase is OPEN:
            await self._wait_for_client()
        if self._connection.was_dismissed:
            dropped = "connection %s: a batch of %d was dropped, as the site has ended it"
            logger.info(dropped, self._connection.id, len(batch.items))
            return
        try:
            await self._attempt(self._handle_batch(batch.handler, batch.items), batch.items)
        except asyncio.CancelledError:
            logger.warning(
                "connection %s: a batch of %d was cancelled", self._connection.id, len(batch.items)
            )
            raise

    async def _gather(self, handler: Handler, batching: Batching, item: T) -> None:
        """Add an item to the batch of its handler, and handle that if it is full."""
        if self._batch is not None and self._batch.handler is not handler:
            await self.flush()
        if self._batch is None:
            self._batch = Batch(handler, self._engine.loop.time() + batching.within)
        self._batch.items.append(item)
        if len(self._batch.items) >= batching.most:
            await self.flush()

    async def _attempt(self, work: Any, items: Sequence[T]) -> None:
        """Handle items in time, and reply to each if that fails."""
        if spans.is_on and (about := self._about(items)) is not None:
            name, destination = about
            span = spans.command(name, self._connection.id, destination, len(items))
            work = within(span, work)
        try:
            await self._consumer.in_time(work)
            self._failures.clear()
        except CommandError as error:
            self._failures.clear()
            self._refuse(items, error)
        except Disconnect:
            raise
        except Exception as error:
            self._fail(items, error)

    def _fail(self, items: Sequence[T], error: Exception) -> None:
        """Log an unexpected exception, and reply to each item."""
        logger.error("connection %s: a command failed", self._connection.id, exc_info=error)
        end = self._failures.add()
        self._refuse(items, CommandError(ErrorCode.INTERNAL, INTERNAL))
        if end is not None:
            raise end

    async def _wait_for_client(self) -> bool:
        """Wait until the client has read earlier replies; return whether the connection is open."""
        return self._connection.outbox.is_free or await self._consumer.pace()

    def _pay(self, size: float) -> float:
        """Charge the allowance of bytes; return the seconds to pause, or 0."""
        return self._engine.limits.owe(self._connection, "bytes", size)

    async def _yield(self, wait: float) -> None:
        """Pause for so many seconds, or let other connections have their turn."""
        if wait:
            await self.flush()
            self._engine.watchdog.finish(self._connection)
            await self._connection.pause(wait)
        elif self._turn.is_over:
            await asyncio.sleep(0)

    @abstractmethod
    def _about(self, items: Sequence[T]) -> tuple[str, str] | None:
        """Return the name of items for a span, and their room or topic; None for no span."""

    @abstractmethod
    async def _handle_batch(self, handler: Handler, items: list[T]) -> None:
        """Call the handler with a batch, and send its replies."""

    @abstractmethod
    def _refuse(self, items: Sequence[T], error: CommandError) -> None:
        """Reply to each item that it failed."""


def check_cancelled(error: asyncio.CancelledError) -> None:
    """Raise `RuntimeError` if a handler was not cancelled, but has raised the error by itself.

    It does so if it awaits a task that was cancelled. That must not look like a shutdown.
    """
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise RuntimeError(OWN_CANCELLATION) from error


def checked_list(replies: Any, number: int) -> list[Any]:
    """Return the replies to a batch; raise an error that says what the handler has to return."""
    if not isinstance(replies, list):
        kind = type(replies).__name__
        raise TypeError(f"a batch is answered by a list of replies or by None, not by {kind}")
    if len(replies) != number:
        raise ValueError(f"a batch of {number} needs as many replies, not {len(replies)}")
    return replies
