"""The two ends of an outbox: a server that accepts frames, and the connection that owns it."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections

from harness.client.encoding import Object, decode
from realtime.engine.connections.connection import Connection
from realtime.store.accounts.identity import Identity
from realtime.wire.codecs import JSON, Codec
from realtime.wire.errors import Disconnect

T = TypeVar("T")


class Server:
    """The `send` of an ASGI server; it suspends while `gate` is not set."""

    def __init__(self) -> None:
        self.messages: list[Object] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def send(self, message: Object) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.messages.append(message)

    @property
    def frames(self) -> list[str | bytes]:
        """The frames that were sent, without the handshake and the close."""
        return [
            one["text"] if "text" in one else one["bytes"]
            for one in self.messages
            if one["type"] == "websocket.send"
        ]


class Noted(Connection):
    """A connection that only records why it has to close."""

    __slots__ = ("ends",)

    def close(self, why: Disconnect) -> None:
        self.ends.append(why)


class End:
    """A connection as the hub sees it; `items` are all the objects it was sent, in order."""

    def __init__(self, name: str = "n.1", codec: Codec = JSON, server: Server | None = None):
        self.server = server or Server()
        self.ends: list[Disconnect] = []
        self.rechecked: list[str] = []
        """The users or topics whose rights were to be rechecked, in order."""
        self.connection = Noted(name, self, self.server.send, codec)
        self.connection.ends = self.ends
        self.outbox = self.connection.outbox
        self._encoding = codec.subprotocol.rpartition(".")[2]

    # The events of a consumer.

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        self.rechecked.append(user_id)

    def on_topic_rights_changed(self, name: str) -> None:
        self.rechecked.append(name)

    def on_user_changed(self, identity: Any) -> None:
        pass

    @property
    def items(self) -> list[Object]:
        return [item for frame in self.server.frames for item in decode(self._encoding, frame)]

    def kinds(self, kind: str) -> list[Object]:
        return [item for item in self.items if item["type"] == kind]

    def seqs(self) -> list[Any]:
        """The positions of the log's events."""
        return [item["seq"] for item in self.items if item["type"] in ("message", "changed")]


def connection_of(identity: Identity, address: str = "", name: str = "n.1") -> Connection:
    """A connection of a user or guest from an address."""
    connection = End(name).connection
    connection.identity = identity
    connection.address = connection.peer_address = address
    return connection


async def ticks(number: int = 3) -> None:
    """Give every task that can run a turn."""
    for _ in range(number):
        await asyncio.sleep(0)


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run Django code in a thread whose connections do not outlive it."""

    def run() -> T:
        try:
            return function(*args)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)
