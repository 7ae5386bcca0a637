"""The core of every client: commands out, decoded replies and events in, in order."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self

from harness.client.encoding import Object, decode, encode, matches

__all__ = ["Closed", "Conversation"]


class Closed(ConnectionError):  # noqa: N818 - not always an error
    """The connection was closed with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Conversation(ABC):
    """One connection; a transport says how frames are sent and received.

    `seen` keeps all objects that came. All methods that receive raise `Closed` if the connection
    is closed instead, and TimeoutError if nothing comes in time.
    """

    patience = 15.0
    """Seconds that it waits for an object, unless a call says otherwise."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.seen: list[Object] = []
        self._unread: deque[Object] = deque()
        self._refs = itertools.count(1)

    @abstractmethod
    async def raw(self, frame: str | bytes) -> None:
        """Send a frame."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    async def _next_frame(self, timeout: float) -> str | bytes:
        """Return the next frame with objects."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def send(self, kind: str, /, **fields: Any) -> None:
        """Send a command."""
        await self.raw(encode(self.encoding, {"type": kind, **fields}))

    async def receive(self, timeout: float | None = None) -> Object:
        """Return the next object."""
        while not self._unread:
            self._take(await self._next_frame(self.patience if timeout is None else timeout))
        return self._unread.popleft()

    async def expect(self, kind: str, /, timeout: float | None = None, **fields: Any) -> Object:
        """Return the next object of this type with these fields; others are passed over."""
        timeout = self.patience if timeout is None else timeout
        passed: list[Object] = []
        try:
            async with asyncio.timeout(timeout):
                while not matches(item := await self.receive(timeout), kind, fields):
                    passed.append(item)
        except TimeoutError:
            wanted = f"{kind} {fields}"
            raise TimeoutError(f"no {wanted} within {timeout} s, but {passed[-20:]}") from None
        return item

    async def ask(self, kind: str, /, **fields: Any) -> Object:
        """Send a command and return the reply with its `ref`."""
        ref = f"{kind} {next(self._refs)}"
        await self.send(kind, ref=ref, **fields)
        while (item := await self.receive()).get("ref") != ref:
            pass
        return item

    async def join(self, room: str, **fields: Any) -> Object:
        """Join a room and return the `joined` reply."""
        return self._of_type("joined", await self.ask("join", room=room, **fields))

    async def say(self, room: str, content: str, **fields: Any) -> Object:
        """Send a message and return its `ack`."""
        return self._of_type("ack", await self.ask("message", room=room, content=content, **fields))

    async def subscribe(self, topic: str, **fields: Any) -> Object:
        """Subscribe to a topic and return the `subscribed` reply, of one page."""
        return self._of_type("subscribed", await self.ask("subscribe", topic=topic, **fields))

    async def call(self, topic: str, name: str, /, **data: Any) -> Object:
        """Call a command of a topic and return the data of its result."""
        reply = await self.ask("call", topic=topic, name=name, data=data)
        found: Object = self._of_type("result", reply)["data"]
        return found

    async def refused(self, kind: str, /, **fields: Any) -> str:
        """Send a command and return the code of the error that answers it."""
        return str(self._of_type("error", await self.ask(kind, **fields))["code"])

    async def settled(self) -> list[Object]:
        """Return all objects that were sent before the answer to a ping."""
        start = len(self.seen) - len(self._unread)
        await self.ask("ping")
        return self.seen[start:-1]

    async def ended(self) -> tuple[Object, int]:
        """Return the in-band `disconnect` and the code of the close that follows it."""
        notice = await self.expect("disconnect")
        try:
            more = await self.receive()
        except Closed as closed:
            return notice, closed.code
        raise AssertionError(f"not closed, but {more}")

    async def closed(self, timeout: float | None = None) -> int:
        """Read until the connection is closed; returns the code."""
        timeout = self.patience if timeout is None else timeout
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self.receive(timeout)
        except Closed as closed:
            return closed.code

    def _take(self, frame: str | bytes) -> list[Object]:
        items = decode(self.encoding, frame)
        self.seen += items
        self._unread += items
        return items

    @staticmethod
    def _of_type(kind: str, reply: Object) -> Object:
        assert reply["type"] == kind, reply
        return reply
