"""One request, presented to a socket application as a handshake and its frames."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from msgspec import Struct, json

from ..engine.connections.one_way import END_OF_INPUT, OneWay
from ..engine.servers import transport
from ..wire.codecs import NDJSON
from ..wire.errors import REASONS, CloseCode, ErrorCode
from ..wire.packet import Packet
from ..wire.text import Text as _
from .body import Body
from .refusal import IDENTITY_CHANGED, Refusal, status_of
from .request import Mode, Request
from .response import Response

__all__ = ["Line", "handshake"]

STREAM_SECONDS = 60.0
"""A stream ends after this time, and its client begins the next one."""
COMMENT_SECONDS = 15.0
GATHER_SECONDS = 0.05
"""A poll ends so long after the first event, so that others of the same moment come with it."""
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
HANDSHAKE_ONLY = (b"sec-websocket-", b"content-", b"transfer-encoding", b"expect", b"upgrade")
"""The headers of a request that mean nothing in a handshake."""
ROUTED = ("path_remaining", "url_route")
"""What a router of Channels leaves in a scope."""
NO_SOCKET = _("This address has no socket for clients of the protocol.")
OTHER_USER = _("You are signed in as another user now. Reload the page.")
FAILED = REASONS[CloseCode.INTERNAL]


class Frame(Struct):
    """The part of a frame of the server on which a response depends."""

    type: Any = ""
    user_id: Any = ""
    code: Any = 0
    retry_after: Any = None


_read = json.Decoder(Frame).decode


def handshake(scope: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the scope of a handshake at a path, for a request."""
    headers = [
        (name, value) for name, value in scope["headers"] if not name.startswith(HANDSHAKE_ONLY)
    ]
    kept = {name: value for name, value in scope.items() if name not in ROUTED}
    return {
        **kept,
        "type": "websocket",
        "scheme": "wss" if scope.get("scheme") == "https" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "subprotocols": [NDJSON.subprotocol],
        "extensions": {},
    }


class Line:
    """The `receive` and `send` of one connection, as a server would give them.

    `commands` is its first frame; `body` has the others, and is None if there are none.
    `receive` is that of the request. `respond` makes the response, which calls its argument to end
    the connection soon.
    """

    def __init__(
        self,
        request: Request,
        commands: str,
        receive: Any,
        send: Any,
        respond: Callable[[Callable[[], None]], Response],
        body: Body | None = None,
    ) -> None:
        self.transport = respond(self.end)
        self.below = send
        """The `send` of the server; both attributes are for `engine.servers.transport`."""
        self._request = request
        self._receive = receive
        self._body = body
        self._events = [{"type": "websocket.connect"}]
        if commands.strip():
            self._events.append({"type": "websocket.receive", "text": commands})
            self.transport.expect(commands)
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + _seconds(request)
        self._limit: asyncio.Timeout | None = None
        self._begun = asyncio.Event()
        """Set once the first frame has come, or the request is refused."""
        self._is_over = self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._comments: set[asyncio.Task[None]] = set()

    @property
    def is_brief(self) -> bool:
        """Whether the connection ends with the replies to its commands."""
        return self._request.mode is Mode.COMMANDS

    def present(self, scope: dict[str, Any]) -> Any:
        """Say in the scope of the handshake what kind of connection it is; return its `send`."""
        scope[transport.SEND] = send = self.send  # the same object, so nothing is in between
        (OneWay.BRIEF if self.is_brief else OneWay.STREAM).put(scope, self._request.sender)
        return send

    async def receive(self) -> dict[str, Any]:
        """Return the next event for the application; the client's frames only after `welcome`."""
        if self._events and self._events[0]["type"] == "websocket.connect":
            return self._events.pop(0)
        await self._begun.wait()
        if self._events and not self._is_over:
            return self._events.pop(0)
        if self._is_over or self._has_ended:
            return DISCONNECT
        if commands := await self._next_commands():
            return {"type": "websocket.receive", "text": commands}
        if commands is None or await self._is_gone_before_end() or self._is_over:
            self._has_ended = True
            return DISCONNECT
        if further := self.transport.further:
            self.transport.further = ""
            return {"type": "websocket.receive", "text": further}
        self._has_ended = True
        return END_OF_INPUT

    async def send(self, message: dict[str, Any]) -> None:
        """Handle what the application sends."""
        match message["type"]:
            case "websocket.accept":
                if message.get("subprotocol") != NDJSON.subprotocol:
                    await self._refuse_address()
            case "websocket.send":
                await self._frame(message["text"])
            case "websocket.close":
                await self._refuse_address()  # unless a frame has come before
                self._stop()

    def write_packet(self, packet: Packet) -> bool:
        """Write events at once; return False if `send` has to be used."""
        return self._begun.is_set() and not self._is_over and self.transport.write_packet(packet)

    def end(self) -> None:
        """Have the connection end soon, with all replies."""
        self._ends_at = self._loop.time()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._ends_at)

    async def finish(self) -> None:
        """End the response, once the application has ended."""
        if self._timer is not None:
            self._timer.cancel()
        await self._refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, ErrorCode.INTERNAL, FAILED))
        with suppress(OSError):  # the client has gone
            await self.transport.finish()

    async def _next_commands(self) -> str | None:
        """Return the next frame, which is empty at the end; None if the client has gone.

        A mistake in the body is told in the response, which ends then.
        """
        if self._body is None:
            return ""
        try:
            commands = await self._body.next()
        except Refusal as error:
            await self.transport.tell(error)
            self.end()
            commands = ""
        if commands:
            self.transport.expect(commands)
        else:
            self._body = None
        return commands

    async def _frame(self, text: str) -> None:
        if not self.transport.is_started:
            await self._first(text, _read(text))
            self._begun.set()
        if not self._is_over:
            await self.transport.write(text)
            if self._request.mode is Mode.POLL and self._timer is None:
                self._gather(text)

    def _gather(self, text: str) -> None:
        if self.transport.has_news(text):
            self._timer = self._loop.call_later(GATHER_SECONDS, self.end)

    async def _first(self, text: str, frame: Frame) -> None:
        """Begin the response with a `welcome`, or end it with another frame."""
        expected = self._request.user_id
        if frame.type != "welcome":
            code = frame.code if isinstance(frame.code, int) else 0
            await self.transport.end_with(status_of(code), text, frame.retry_after)
            self._stop()
        elif expected is not None and frame.user_id != expected:
            await self._refuse(Refusal(HTTPStatus.CONFLICT, IDENTITY_CHANGED, OTHER_USER))
        else:
            await self.transport.start()
            if self._request.mode is Mode.STREAM:
                self._comment_later()

    async def _refuse_address(self) -> None:
        await self._refuse(Refusal(HTTPStatus.NOT_FOUND, ErrorCode.UNKNOWN_TYPE, NO_SOCKET))

    async def _refuse(self, error: Refusal) -> None:
        if not self.transport.is_started:
            await self.transport.refuse(error)
            self._stop()

    def _stop(self) -> None:
        """Let the application end at once."""
        self._is_over = True
        self._begun.set()
        self.end()

    async def _is_gone_before_end(self) -> bool:
        """Wait until the connection has to end; return whether its client is gone before."""
        if self.is_brief:
            return False
        try:
            async with asyncio.timeout_at(self._ends_at) as self._limit:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        finally:
            self._limit = None
        return True

    def _comment_later(self) -> None:
        self._timer = self._loop.call_later(COMMENT_SECONDS, self._comment)

    def _comment(self) -> None:
        task = self._loop.create_task(self.transport.comment())
        self._comments.add(task)
        task.add_done_callback(self._comments.discard)
        self._comment_later()


def _seconds(request: Request) -> float:
    return request.seconds if request.mode is Mode.POLL else STREAM_SECONDS
