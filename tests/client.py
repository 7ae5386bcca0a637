"""A plain WebSocket client for tests: commands out, decoded replies and events in, in order."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

Object = dict[str, Any]
ENCODINGS = ["json", "ndjson", "msgpack"]
_lines = msgspec.json.Decoder()


def encode(encoding: str, command: Object) -> str | bytes:
    if encoding == "msgpack":
        return msgspec.msgpack.encode(command)
    return msgspec.json.encode(command).decode()


def decode(encoding: str, frame: str | bytes) -> list[Object]:
    """The objects of one frame, which must be of the kind that its encoding promises."""
    if encoding == "msgpack":
        assert isinstance(frame, bytes)
        unpacker = msgpack.Unpacker()
        unpacker.feed(frame)
        return list(unpacker)
    assert isinstance(frame, str)
    if encoding == "ndjson":
        return _lines.decode_lines(frame)
    return [msgspec.json.decode(frame)]


def matches(item: Object, kind: str, fields: Object) -> bool:
    return item["type"] == kind and all(item.get(name) == value for name, value in fields.items())


class Client:
    """One connection; `seen` keeps all that came, `frames` how many objects each frame held."""

    def __init__(self, socket: ClientConnection, encoding: str) -> None:
        self.socket = socket
        self.encoding = encoding
        self.seen: list[Object] = []
        self.frames: list[int] = []
        self._unread: deque[Object] = deque()

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
        subprotocols = [f"realtime.v1.{encoding}"] if encoding else None
        socket = await open_socket(
            url,
            subprotocols=subprotocols,  # type: ignore[arg-type]
            origin=origin,  # type: ignore[arg-type]
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

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def send(self, kind: str, **fields: Any) -> None:
        await self.raw(encode(self.encoding, {"type": kind, **fields}))

    async def raw(self, frame: str | bytes) -> None:
        await self.socket.send(frame)

    async def receive(self, timeout: float = 15) -> Object:
        """The next object; TimeoutError when none comes, ConnectionClosed when none will."""
        async with asyncio.timeout(timeout):
            while not self._unread:
                items = decode(self.encoding, await self.socket.recv())
                self.frames.append(len(items))
                self.seen += items
                self._unread += items
        return self._unread.popleft()

    async def expect(self, kind: str, timeout: float = 15, **fields: Any) -> Object:
        """The next object of this type with these fields; others are passed over, into `seen`."""
        passed = []
        try:
            async with asyncio.timeout(timeout):
                while not matches(item := await self.receive(timeout), kind, fields):
                    passed.append(item)
        except TimeoutError:
            raise TimeoutError(f"no {kind} {fields} within {timeout} s, but {passed}") from None
        return item

    async def join(self, room: str, **fields: Any) -> Object:
        """Join a room and return the `joined` reply."""
        await self.send("join", room=room, ref=f"join {room}", **fields)
        return await self.expect("joined", room=room, ref=f"join {room}")

    async def say(self, room: str, content: str, **fields: Any) -> Object:
        """Send a message and return its `ack`."""
        ref = f"say {len(self.seen)} {content[:20]}"
        await self.send("message", room=room, content=content, ref=ref, **fields)
        return await self.expect("ack", ref=ref)

    async def closed(self, timeout: float = 15) -> int | None:
        """Read until the server closes; returns the close code."""
        try:
            while True:
                await self.receive(timeout)
        except ConnectionClosed:
            return self.socket.close_code

    async def close(self) -> None:
        await self.socket.close()


async def eventually(
    condition: Callable[[], Any], timeout: float = 30, what: str = "the condition"
) -> None:
    """Wait until `condition()` is true, looking twenty times a second."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        await asyncio.sleep(0.05)
