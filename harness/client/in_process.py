"""A client of a consumer in this process, through `WebsocketCommunicator` of Channels."""

from typing import Any, Self

from channels.testing import WebsocketCommunicator

from harness.client.conversation import Closed, Conversation
from harness.client.encoding import Object, matches, subprotocol
from realtime.consumers import RoomConsumer

__all__ = ["Socket"]

Headers = list[tuple[bytes, bytes]]


class Socket(Conversation):
    """One connection; `frames` keeps what came, and `welcome` the first object."""

    def __init__(
        self,
        path: str = "/ws",
        *,
        application: Any = None,
        encoding: str = "json",
        headers: Headers | None = None,
        **scope: Any,
    ) -> None:
        super().__init__(encoding)
        self.communicator = WebsocketCommunicator(
            application or RoomConsumer.as_asgi(),
            path,
            headers=headers,
            subprotocols=[subprotocol(encoding)],
        )
        self.communicator.scope.update({"client": ["192.0.2.1", 50000]} | scope)
        self.frames: list[str | bytes] = []
        self.welcome: Object = {}

    async def __aenter__(self) -> Self:
        await self.open()
        self.welcome = await self.expect("welcome")
        return self

    async def open(self) -> None:
        """Connect, and wait for no welcome."""
        is_open, chosen = await self.communicator.connect(timeout=30)
        assert is_open
        assert chosen == subprotocol(self.encoding)

    async def close(self) -> None:
        await self.communicator.disconnect(timeout=30)

    async def raw(self, frame: str | bytes) -> None:
        key = "text" if isinstance(frame, str) else "bytes"
        await self.communicator.send_input({"type": "websocket.receive", key: frame})

    async def all(self, kind: str, /, number: int, **fields: Any) -> list[Object]:
        """Return all objects of this type with these fields, as soon as there are so many."""
        while len(found := [one for one in self.seen if matches(one, kind, fields)]) < number:
            self._take(await self._next_frame(self.patience))
        return found

    def arrived(self) -> list[Object]:
        """Return what has come by now, without waiting, and keep none of it."""
        queue = self.communicator.output_queue
        while not queue.empty():
            self._take(_frame_of(queue.get_nowait()))
        items = list(self._unread)
        for kept in (self._unread, self.seen, self.frames):
            kept.clear()
        return items

    async def _next_frame(self, timeout: float) -> str | bytes:
        return _frame_of(await self.communicator.receive_output(timeout))

    def _take(self, frame: str | bytes) -> list[Object]:
        self.frames.append(frame)
        return super()._take(frame)


def _frame_of(message: Object) -> str | bytes:
    if message["type"] == "websocket.close":
        raise Closed(message.get("code", 1000))
    frame: str | bytes = message["text"] if "text" in message else message["bytes"]
    return frame
