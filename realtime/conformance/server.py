"""The server of a scenario: it sends what the steps say, and keeps what the client sends."""

import asyncio
import json
from collections.abc import Sequence
from typing import Self

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from .frames import completed
from .line import Frame, Line

__all__ = ["ScriptedServer"]

KNOWN = ("realtime.v1.ndjson", "realtime.v1.json", "realtime.v1.msgpack")


class SocketLine(Line):
    """One socket of the client, seen from its server."""

    def __init__(self, socket: ServerConnection) -> None:
        super().__init__()
        self._socket = socket

    @property
    def token(self) -> str | None:
        """The bearer token of the handshake, also if it is given as a subprotocol."""
        headers = self._socket.request.headers if self._socket.request else {}
        kind, _, token = headers.get("Authorization", "").partition(" ")
        offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
        given = [one.strip() for one in offered if one.strip().startswith("realtime.token.")]
        return token if kind == "Bearer" else (given[0][15:] if given else None)

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send objects together, if the encoding has several in a frame."""
        kind, frames = self._socket.subprotocol, [completed(one) for one in frames]
        if kind == "realtime.v1.msgpack":
            await self._socket.send(b"".join(map(msgpack.packb, frames)))
        elif kind == "realtime.v1.ndjson":
            await self._socket.send("\n".join(map(json.dumps, frames)))
        else:
            for frame in frames:
                await self._socket.send(json.dumps(frame))

    async def raw(self, text: str) -> None:
        """Send any text."""
        await self._socket.send(text)

    async def cut(self, how: str | int) -> None:
        """End the connection: `reset`, `half` of a frame and then a reset, or a close code."""
        if isinstance(how, int):
            await self._socket.close(how)
            return
        if how == "half":
            self._socket.transport.write(b"\x81\x7e\x10\x00{")
        self._socket.transport.abort()

    async def read(self) -> None:
        """Keep what the client sends, until the connection ends."""
        try:
            async for data in self._socket:
                self._take(_commands(data))
        except ConnectionClosed:
            pass
        finally:
            self._end()


class ScriptedServer:
    """Listens for the lines of a client; `subprotocols` says whether it answers one."""

    def __init__(self, subprotocols: bool = True) -> None:
        self._answers = subprotocols
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._server: Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, select_subprotocol=self._select, close_timeout=1
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/ws/"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()

    async def line(self) -> Line:
        """Return the next connection that the client opens."""
        return await self._lines.get()

    async def _serve(self, socket: ServerConnection) -> None:
        line = SocketLine(socket)
        self._lines.put_nowait(line)
        await line.read()

    def _select(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        known = [one for one in offered if one in KNOWN]
        return known[0] if known and self._answers else None


def _commands(data: str | bytes) -> list[Frame]:
    if isinstance(data, str):
        return [json.loads(one) for one in data.splitlines() if one]
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return list(unpacker)
