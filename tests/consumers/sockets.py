"""A client of a consumer in this process: commands in, decoded replies and events out."""

from collections import deque
from typing import Any

from channels.testing import WebsocketCommunicator

from realtime.consumers import RoomConsumer
from tests.client import Object, decode, encode, matches

Headers = list[tuple[bytes, bytes]]


class Closed(Exception):  # noqa: N818
    """The server closed the socket with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    """One connection through `WebsocketCommunicator`; `seen` keeps all that came."""

    def __init__(
        self,
        path: str = "/ws",
        *,
        application: Any = None,
        encoding: str = "json",
        headers: Headers | None = None,
        **scope: Any,
    ) -> None:
        subprotocols = [f"realtime.v1.{encoding}"]
        self.communicator = WebsocketCommunicator(
            application or RoomConsumer.as_asgi(), path, headers=headers, subprotocols=subprotocols
        )
        self.communicator.scope.update({"client": ["192.0.2.1", 50000]} | scope)
        self.encoding = encoding
        self.seen: list[Object] = []
        self.frames: list[str | bytes] = []
        self.welcome: Object = {}
        self._unread: deque[Object] = deque()

    async def __aenter__(self) -> "Socket":
        await self.open()
        self.welcome = await self.expect("welcome")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def open(self) -> None:
        is_open, subprotocol = await self.communicator.connect(timeout=5)
        assert is_open
        assert subprotocol == f"realtime.v1.{self.encoding}"

    async def close(self) -> None:
        await self.communicator.disconnect(timeout=5)

    async def send(self, kind: str, /, **fields: Any) -> None:
        await self.raw(encode(self.encoding, {"type": kind, **fields}))

    async def raw(self, frame: str | bytes) -> None:
        key = "text" if isinstance(frame, str) else "bytes"
        await self.communicator.send_input({"type": "websocket.receive", key: frame})

    async def receive(self, timeout: float = 5) -> Object:
        """The next object; raises `Closed` where the server closes instead."""
        while not self._unread:
            message = await self.communicator.receive_output(timeout)
            if message["type"] == "websocket.close":
                raise Closed(message.get("code", 1000))
            self._take(message)
        return self._unread.popleft()

    async def expect(self, kind: str, /, **fields: Any) -> Object:
        """The next object of this type with these fields; others are passed over."""
        passed = []
        while not matches(item := await self.receive(), kind, fields):
            passed.append(item)
            assert len(passed) < 1000, passed[:3]
        return item

    async def ask(self, kind: str, /, **fields: Any) -> Object:
        """Send a command and return the reply with its `ref`."""
        ref = f"{kind} {len(self.seen)}"
        await self.send(kind, ref=ref, **fields)
        while (item := await self.receive()).get("ref") != ref:
            pass
        return item

    async def refused(self, kind: str, /, **fields: Any) -> str:
        """Send a command and return the code of the error it is answered with."""
        reply = await self.ask(kind, **fields)
        assert reply["type"] == "error", reply
        return str(reply["code"])

    async def all(self, kind: str, /, number: int) -> list[Object]:
        """All objects of this type since the beginning, as soon as there are so many."""
        while sum(item["type"] == kind for item in self.seen) < number:
            self._take(await self.communicator.receive_output(5))
        return [item for item in self.seen if item["type"] == kind]

    async def settled(self) -> list[Object]:
        """All objects that were sent before the answer to a ping, without it."""
        start = len(self.seen) - len(self._unread)
        await self.ask("ping")
        return self.seen[start:-1]

    async def ended(self) -> tuple[Object, int]:
        """The in-band `disconnect` and the code of the close that follows it."""
        told = await self.expect("disconnect")
        try:
            more = await self.receive()
        except Closed as closed:
            return told, closed.code
        raise AssertionError(f"not closed, but {more}")

    async def join(self, room: str, **fields: Any) -> Object:
        reply = await self.ask("join", room=room, **fields)
        assert reply["type"] == "joined", reply
        return reply

    def _take(self, message: Object) -> None:
        frame = message["text"] if "text" in message else message["bytes"]
        items = decode(self.encoding, frame)
        self.frames.append(frame)
        self.seen += items
        self._unread += items
