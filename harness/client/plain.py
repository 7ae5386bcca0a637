"""A client in this process that speaks no protocol: raw frames out, raw frames in."""

from typing import Any, Self

from channels.testing import WebsocketCommunicator

from harness.client.conversation import Closed

__all__ = ["PlainSocket"]

Frame = str | bytes


class PlainSocket:
    """One connection without the protocol; `subprotocol` is what its handshake has agreed to."""

    patience = 15.0

    def __init__(
        self,
        application: Any,
        path: str = "/ws/echo/",
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        subprotocols: list[str] | None = None,
        **scope: Any,
    ) -> None:
        self.communicator = WebsocketCommunicator(
            application, path, headers=headers, subprotocols=subprotocols
        )
        self.communicator.scope.update({"client": ["192.0.2.1", 50000]} | scope)
        self.subprotocol: str | None = None
        self.reason = ""

    async def __aenter__(self) -> Self:
        is_open, self.subprotocol = await self.communicator.connect(timeout=30)
        assert is_open
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.communicator.disconnect(timeout=30)

    async def send(self, frame: Frame) -> None:
        key = "text" if isinstance(frame, str) else "bytes"
        await self.communicator.send_input({"type": "websocket.receive", key: frame})

    async def receive(self) -> Frame:
        """Return the next frame; raise `Closed` if the connection is closed instead."""
        message = await self.communicator.receive_output(self.patience)
        if message["type"] == "websocket.close":
            self.reason = message["reason"]
            raise Closed(message["code"])
        frame: Frame = message["text"] if "text" in message else message["bytes"]
        return frame

    async def ask(self, frame: Frame) -> Frame:
        await self.send(frame)
        return await self.receive()

    async def closed(self) -> int:
        """Return the code of the close, which has to be the next thing that comes."""
        try:
            frame = await self.receive()
        except Closed as closed:
            return int(closed.code)
        raise AssertionError(f"not closed, but {frame!r}")

    @property
    def waiting(self) -> int:
        """The number of frames that have arrived and were not read yet."""
        return int(self.communicator.output_queue.qsize())
