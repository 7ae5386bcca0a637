"""A client over a real socket, with the `websockets` library."""

import asyncio
from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from harness.client.conversation import Closed, Conversation
from harness.client.encoding import Object, subprotocol

__all__ = ["Client"]

DROPPED = 1006


class Client(Conversation):
    """One connection; `frames` keeps how many objects each frame held."""

    def __init__(self, socket: ClientConnection, encoding: str) -> None:
        super().__init__(encoding)
        self.socket = socket
        self.frames: list[int] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        encoding: str = "",
        *,
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
    ) -> "Client":
        """Open a connection; with no `encoding` none is offered, as the plainest client does."""
        subprotocols = [Subprotocol(subprotocol(encoding))] if encoding else None
        socket = await open_socket(
            url,
            subprotocols=subprotocols,
            origin=Origin(origin) if origin is not None else None,
            additional_headers=headers,
            compression=compression,
            proxy=None,
            ping_interval=None,
            open_timeout=30,
            close_timeout=5,
            max_queue=None,
        )
        assert socket.subprotocol == (subprotocols[0] if subprotocols else None)
        return cls(socket, encoding or "json")

    async def raw(self, frame: str | bytes) -> None:
        try:
            await self.socket.send(frame)
        except ConnectionClosed as error:
            raise self._closed() from error

    async def close(self) -> None:
        await self.socket.close()

    async def _next_frame(self, timeout: float) -> str | bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self.socket.recv()
        except ConnectionClosed as error:
            raise self._closed() from error

    def _take(self, frame: str | bytes) -> list[Object]:
        items = super()._take(frame)
        self.frames.append(len(items))
        return items

    def _closed(self) -> Closed:
        return Closed(self.socket.close_code or DROPPED)
