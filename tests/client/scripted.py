"""A server whose every frame is written by the test."""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve

from tests.inbox import SECONDS, Frame, Inbox


class Socket(Inbox):
    """One socket that the client has opened, seen from its server."""

    def __init__(self, connection: ServerConnection) -> None:
        super().__init__()
        self.connection = connection
        self.headers = connection.request.headers if connection.request else {}
        self.sizes: list[int] = []

    async def send(self, *frames: Frame) -> None:
        """Send what stands in one WebSocket message."""
        await self.raw("\n".join(json.dumps(frame) for frame in frames))

    async def raw(self, text: str) -> None:
        await self.connection.send(text)

    async def welcome(self, user_id: str = "1", **more: Any) -> None:
        fields = {"connection": "c", "user_id": user_id, "username": user_id, "heartbeat": 20}
        fields |= {"protocol": "realtime.v1", "limits": {}, "server_time": "2026-01-01T00:00:00Z"}
        await self.send({"type": "welcome", **fields, **more})

    async def joined(self, command: Frame, through: int = 0, **more: Any) -> None:
        """Answer a `join`."""
        await self.send(joined(command, through, **more))

    async def subscribed(self, command: Frame, through: int = 0, **more: Any) -> None:
        """Answer a `subscribe`."""
        state: Frame = {"through": through, "epoch": "e", "recovered": False}
        state |= {"entries": [], "has_more": False}
        names = {"type": "subscribed", "topic": command["topic"], "ref": command["ref"]}
        await self.send({**names, **state, **more})

    async def ack(self, command: Frame, seq: int) -> None:
        """Answer a `message`."""
        await self.send(ack(command, seq))

    async def error(self, command: Frame, code: str, **more: Any) -> None:
        await self.send(
            {"type": "error", "code": code, "message": "No.", "retryable": False}
            | {"ref": command["ref"]}
            | more
        )

    async def close(self, code: int = 1001) -> None:
        await self.connection.close(code)

    async def gone(self) -> None:
        """Wait until the socket has ended."""
        async with asyncio.timeout(SECONDS):
            await self.connection.wait_closed()

    async def read(self) -> None:
        async for data in self.connection:
            self.sizes.append(len(data))
            self.take(data)


class Script:
    """The server; `socket` returns what the client opens."""

    def __init__(self, subprotocol: str | None = "realtime.v1.ndjson") -> None:
        self.url = ""
        self.refuses_with: int | None = None
        """The HTTP status with which it refuses handshakes."""
        self.handshakes = 0
        self._protocols: Any = None if subprotocol is None else [subprotocol]
        self._sockets: asyncio.Queue[Socket] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=self._protocols,
            process_request=self._judge,
            close_timeout=1,
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/ws/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    async def socket(self) -> Socket:
        """Return the next socket that the client opens."""
        async with asyncio.timeout(SECONDS):
            return await self._sockets.get()

    async def welcomed(self, user_id: str = "1", **more: Any) -> Socket:
        """Return the next socket, after its `welcome`."""
        socket = await self.socket()
        await socket.welcome(user_id, **more)
        return socket

    def _judge(self, connection: ServerConnection, request: object) -> Any:
        self.handshakes += 1
        status = self.refuses_with
        return None if status is None else connection.respond(HTTPStatus(status), "")

    async def _serve(self, connection: ServerConnection) -> None:
        socket = Socket(connection)
        self._sockets.put_nowait(socket)
        await socket.read()


def joined(command: Frame, through: int = 0, **more: Any) -> Frame:
    """The reply to a `join`."""
    state: Frame = {"messages": [], "has_more": False, "members": [], "count": 1, "rights": []}
    state |= {"epoch": "e", "recovered": False, "through": through, "role": ""}
    names = {"room": command["room"], "ref": command["ref"], "user_id": "1", "username": "1"}
    return {"type": "joined", **names, **state, **more}


def ack(command: Frame, seq: int) -> Frame:
    """The reply to a `message`."""
    fields = {"room": command["room"], "seq": seq, "id": seq, "nonce": command["nonce"]}
    return {"type": "ack", "ref": command["ref"], "created_at": CREATED, **fields}


CREATED = "2026-01-01T00:00:00.000Z"


def state(seq: int, *, user_id: str = "2", **more: Any) -> Frame:
    """The state of a message."""
    text = {"content": f"m{seq}", "created_at": CREATED}
    return {"seq": seq, "id": seq, "user_id": user_id, "username": user_id, **text, **more}


def message(seq: int, room: str = "general", **more: Any) -> Frame:
    """The event of a message."""
    return {"type": "message", "room": room, **state(seq, **more)}


def entry(seq: int, **more: Any) -> Frame:
    """A stored event of a topic."""
    return {"name": "paid", "data": {"total": seq}, "seq": seq, "at": CREATED, **more}


def event(seq: int, topic: str = "order/7", **more: Any) -> Frame:
    """An event of a topic."""
    return {"type": "event", "topic": topic, **entry(seq, **more)}
