"""Many clients in one room that keep nothing of what they get, but count all of it."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from .frames import PING, PONG, TEXT, frame, frames, upgrade

__all__ = ["Crowd", "Member"]

AT_ONCE = 50
OPEN_SECONDS = 60
KIND = re.compile(rb'{"type":"(\w+)"')
REPLIES = {b"welcome", b"ack", b"ping", b"pong", b"error"}
"""The frames that no topic has sent, beside the reply to `join`."""


class Member(asyncio.Protocol):
    """One client.

    `sent` and `received` are its frames after the handshake. `events` are those that its room has
    sent, and `messages` those of them that are messages.
    """

    def __init__(self, crowd: "Crowd", url: str) -> None:
        self.crowd, self._url = crowd, url
        self.sent = self.received = self.events = self.messages = 0
        self._rest = b""
        self._is_open = False
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(upgrade(self._url))

    def connection_lost(self, error: Exception | None) -> None:
        self.crowd.lost += not self.crowd.is_closed
        if not self.joined.done():
            self.joined.set_exception(ConnectionError("the server has closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._is_open:
            _head, separator, rest = self._rest.partition(b"\r\n\r\n")
            if not separator:
                return
            self._is_open, self._rest = True, rest
            self.send(type="join", room=self.crowd.room)
        end = 0
        for opcode, payload, end in frames(self._rest):  # noqa: B007 - the last end is used
            self._hear(opcode, payload)
        self._rest = self._rest[end:]

    def send(self, **command: Any) -> None:
        """Send a command."""
        self.sent += 1
        self.transport.write(frame(json.dumps(command)))

    def _hear(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(frame(payload, PONG))
        elif opcode == TEXT:
            self.received += 1
            found = KIND.match(payload)
            self._count(found[1] if found else b"")

    def _count(self, kind: bytes) -> None:
        if kind == b"joined" and not self.joined.done():
            self.joined.set_result(None)
            return
        self.events += kind not in REPLIES
        self.messages += kind == b"message"
        if kind == b"ping":
            self.send(type="pong")


class Crowd:
    """The clients of a load, spread over servers.

    `messages` are those that its members have sent; `lost` counts the connections that a server has
    closed.
    """

    def __init__(self, room: str = "general") -> None:
        self.room = room
        self.members: list[Member] = []
        self.messages = self.lost = 0
        self.is_closed = False

    async def enter(self, urls: Sequence[str], number: int) -> None:
        """Connect so many clients, and have each join the room."""
        left = iter(range(number))

        async def some() -> None:
            for index in left:
                await self._open(urls[index % len(urls)])

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _open(self, url: str) -> None:
        parts, loop = urlsplit(url), asyncio.get_running_loop()
        host, port = parts.hostname or "", parts.port or 80
        _transport, member = await loop.create_connection(lambda: Member(self, url), host, port)
        self.members.append(member)
        async with asyncio.timeout(OPEN_SECONDS):
            await member.joined

    async def speak(self, seconds: float, pause: float) -> None:
        """Have one member after the other send a message, with a pause after each."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            member = self.members[self.messages % len(self.members)]
            self.messages += 1
            nonce = f"n{self.messages}"
            member.send(type="message", room=self.room, content="Hello", nonce=nonce)
            await asyncio.sleep(pause)

    @property
    def is_told(self) -> bool:
        """Whether each member has received each message."""
        return all(member.messages >= self.messages for member in self.members)

    @property
    def numbers(self) -> dict[str, int]:
        """The connections, the frames both ways, and the events that all were sent."""
        return {
            "connections": len(self.members),
            "in": sum(member.sent for member in self.members),
            "out": sum(member.received for member in self.members),
            "deliveries": sum(member.events for member in self.members),
        }

    def close(self) -> None:
        """Drop all connections."""
        self.is_closed = True
        for member in self.members:
            member.transport.abort()
