"""The events of one connection, received ahead of its handler."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Inbox"]

AHEAD = 64
"""The most events that wait; the input limits pause reading before."""


class Inbox:
    """Lets the handler of a batch stop waiting for the next event.

    The `receive` of a server is not cancelled before its end: an event might be lost by that. One
    task for all events of a connection costs a third of a task for each. `arrived` is called with
    each event before its turn.
    """

    __slots__ = ("_arrived", "_queue", "_receive", "_task")

    def __init__(
        self, receive: Callable[[], Awaitable[Any]], arrived: Callable[[Any], None] | None = None
    ) -> None:
        self._receive = receive
        self._arrived = arrived
        self._queue: asyncio.Queue[Any] = asyncio.Queue(AHEAD)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def get(self, until: float | None = None) -> Any:
        """Return the next event; None if there is none at the time `until` of the event loop.

        Raises what `receive` has raised.
        """
        if self._queue.empty():
            try:
                async with asyncio.timeout_at(until):
                    event = await self._queue.get()
            except TimeoutError:
                return None
        else:
            event = self._queue.get_nowait()
        if isinstance(event, BaseException):
            raise event
        return event

    def stop(self) -> None:
        """Receive nothing more."""
        self._task.cancel()

    async def _run(self) -> None:
        is_open = True
        while is_open:
            try:
                event = await self._receive()
                is_open = event["type"] != "websocket.disconnect"
                if self._arrived is not None:
                    self._arrived(event)
            except Exception as error:
                event, is_open = error, False
            await self._queue.put(event)
