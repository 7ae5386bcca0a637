"""What the rooms and topics of a client share."""

import asyncio
from typing import Any, Literal

from ..wire.failures import RealtimeError
from .frames import Encoding
from .line import Command, Line
from .outbox import Outbox

__all__ = ["CatchUp", "Session"]

CatchUp = Literal["all", "newest"]
REQUEST_SECONDS = 10.0


class Session:
    """The line of a client while it is open, its outbox, and how it asks."""

    def __init__(self, encoding: Encoding, queue: int, catch_up: CatchUp) -> None:
        self.encoding = encoding
        self.outbox = Outbox(queue, encoding.encode)
        self.catch_up = catch_up
        self.topics: dict[str, set[Any]] = {}
        """The topics by the names that the server has told."""
        self.line: Line | None = None
        self.user_id = self.username = ""
        self.limits: dict[str, int] = {}
        self.end: RealtimeError | None = None
        """Why the client is closed."""

    def check_open(self) -> None:
        """Raise `RealtimeError` if the client is closed."""
        if self.end is not None:
            raise self.end.with_traceback(None)  # else that of each caller is added

    def send_loose(self, command: Command) -> None:
        """Send what loses its worth with time, unless the line is away or congested."""
        if self.line is not None and not self.line.is_congested:
            self.line.send(command)

    async def request(self, command: Command, timeout: float = REQUEST_SECONDS) -> Any:
        """Send a command that is never repeated; return its reply.

        Raises `RealtimeError`: `offline` if there is no connection (`outcome` is "not_sent"), or if
        it is lost before the reply ("unknown"), `timeout` after `timeout` seconds ("unknown").
        """
        line = self.line
        if line is None:
            self.check_open()
            raise RealtimeError("offline", is_retryable=True, outcome="not_sent")
        settled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ref = line.ask(
            command,
            lambda reply: None if settled.done() else settled.set_result(reply),
            lambda error: None if settled.done() else settled.set_exception(error),
        )
        try:
            async with asyncio.timeout(timeout):
                return await settled
        except TimeoutError:
            is_unsent = line.withdraw(ref)
            outcome = "not_sent" if is_unsent else "unknown"
            raise RealtimeError("timeout", outcome=outcome, is_retryable=is_unsent) from None
        except asyncio.CancelledError:
            line.withdraw(ref)
            raise
