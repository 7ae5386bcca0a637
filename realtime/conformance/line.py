"""One line of the client, seen from its server: what came, and what is sent."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

__all__ = ["Frame", "Line", "Listener"]

Frame = dict[str, Any]


class Line:
    """A connection or request of a client: the commands that came, and the frames that it gets."""

    def __init__(self) -> None:
        self._waiting: deque[Frame] = deque()
        self._came = asyncio.Event()
        self.is_over = False
        self.unread: list[Frame] = []
        """The commands that have come and that no step has expected."""

    @property
    def token(self) -> str | None:
        """The bearer token of the client."""
        raise NotImplementedError

    async def welcome(self, more: Frame) -> None:
        """Send the first frame."""
        await self.send([{"type": "welcome", **more}])

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send objects together, if the encoding has several in a frame."""
        raise NotImplementedError

    async def raw(self, text: str) -> None:
        """Send any text."""
        raise NotImplementedError

    async def cut(self, how: str | int) -> None:
        """End the line, as the step `cut` says."""
        raise NotImplementedError

    async def next(self) -> Frame:
        """Return the next command; raise `ConnectionError` after the last one."""
        while not self._waiting:
            if self.is_over:
                raise ConnectionError("The client has closed the connection.")
            self._came.clear()
            await self._came.wait()
        return self._waiting.popleft()

    def rest(self) -> list[Frame]:
        """Return the commands that have come and that `next` has not returned."""
        return list(self._waiting)

    def _take(self, commands: Iterable[Frame]) -> None:
        self._waiting.extend(commands)
        self._came.set()

    def _end(self) -> None:
        self.is_over = True
        self._came.set()


class Listener(Protocol):
    """The server of a stage, over sockets or plain HTTP."""

    @property
    def url(self) -> str:
        """The address that the client gets."""

    async def line(self) -> Line:
        """Return the next line that the client opens."""
