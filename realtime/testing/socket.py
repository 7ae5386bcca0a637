"""One WebSocket without a server: it runs an ASGI application and hands frames over at once."""

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["LOST", "Frame", "Socket"]

LOST = 1006
"""The code of a connection that has ended without a close frame (RFC 6455, section 7.4.1)."""
END_SECONDS = 10.0

Frame = str | bytes


class Socket:
    """The client's end of a connection; `received` gets each frame, `changed` follows each event.

    `subprotocol` is set once the handshake is accepted, and `code` once the socket is closed.
    """

    def __init__(
        self,
        application: Any,
        scope: dict[str, Any],
        received: Callable[[Frame], None],
        changed: Callable[[], None],
    ) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received = received
        self._changed = changed
        self.is_accepted = False
        self.subprotocol: str | None = None
        self.code: int | None = None
        self.is_reported = False
        """Whether the test knows that the application has failed."""
        self._events.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(application(scope, self._events.get, self._send))
        self._task.add_done_callback(lambda _: changed())

    @property
    def handshake_complete(self) -> bool:
        """Whether the handshake is accepted, as servers say it of a socket."""
        return self.is_accepted

    @property
    def is_ended(self) -> bool:
        """Whether the application has closed the socket, or has ended."""
        return self.code is not None or self._task.done()

    def send(self, frame: Frame) -> None:
        """Send a frame to the application."""
        key = "text" if isinstance(frame, str) else "bytes"
        self._events.put_nowait({"type": "websocket.receive", key: frame})

    def raise_failure(self) -> None:
        """Raise the exception with which the application has failed, if it has."""
        if self._task.done() and not self._task.cancelled() and (error := self._task.exception()):
            self.is_reported = True
            raise error

    async def end(self, code: int) -> None:
        """Close the socket from the client's side, and wait until the application has ended."""
        self._events.put_nowait({"type": "websocket.disconnect", "code": code})
        _, pending = await asyncio.wait([self._task], timeout=END_SECONDS)
        if pending:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=END_SECONDS)
            raise AssertionError(
                f"The application has not ended within {END_SECONDS:g} s of the disconnect,"
                " and was cancelled."
            )
        self.code = code if self.code is None else self.code

    async def _send(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self.is_accepted = True
                self.subprotocol = message.get("subprotocol")
            case "websocket.send":
                text = message.get("text")
                self._received(message["bytes"] if text is None else text)
            case "websocket.close":
                self.code = message.get("code") or 1000
                self._events.put_nowait({"type": "websocket.disconnect", "code": self.code})
        self._changed()
