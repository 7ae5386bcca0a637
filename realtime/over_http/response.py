"""The response of a request: its head, and the frames of the connection in its body.

What the client has not read waits in the server. Daphne never says that this is too much, so its
transport is asked, and each response ends after some bytes.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from msgspec import Struct, json

from ..auth.origin import IS_ALLOWED
from ..engine.connections.language import language_of, translated
from ..engine.servers import transport
from ..engine.servers.writers import BodyWriter
from ..wire.codecs import NDJSON
from ..wire.events import Failure
from ..wire.packet import Packet, event_of
from .refusal import Refusal
from .request import CONTENT_TYPE, Mode, header_of

__all__ = ["STREAM_TYPE", "Header", "Headers", "Response"]

STREAM_TYPE = "text/event-stream"
STREAM_BYTES, GATHERED_BYTES = 1024 * 1024, 256 * 1024
"""After so many bytes, a stream or a gathered response ends."""
REPLY_BYTES = 8
"""A stream may have so many more for each byte of its commands, so that it brings all replies."""
BUFFERED_BYTES = 64 * 1024
"""The bytes in the transport of the server beyond which a stream waits for its client."""
WAIT_SECONDS = 0.05
"""The pause between two looks at such a transport."""
COMMENT = b":\n\n"
Header = tuple[bytes, bytes]
Headers = list[Header]
ALWAYS = (
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx
    (b"x-content-type-options", b"nosniff"),
)
ALLOWED = b"authorization, content-type, if-none-match, x-realtime-connection, x-realtime-user"
EXPOSED = b"retry-after, etag, stream-next-offset, stream-up-to-date, stream-cursor"
PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (b"access-control-allow-headers", ALLOWED),
    (b"access-control-max-age", b"600"),
)


class Told(Struct):
    """The part of a frame of the server on which it depends whether a poll ends."""

    type: Any = ""
    recovered: Any = None
    has_more: Any = None
    messages: Any = None
    entries: Any = None

    @property
    def is_news(self) -> bool:
        """Whether a poll ends with this; not if it only says that nothing was missed."""
        if self.type in ("joined", "subscribed") and self.recovered:
            return bool(self.messages or self.entries or self.has_more)
        return self.type not in ("welcome", "pong")


_told = json.Decoder(Told).decode


class Response:
    """Writes the response of one request; it is also the transport of its connection.

    `full` is called once the response should end.
    """

    def __init__(
        self, scope: dict[str, Any], send: Any, mode: Mode, full: Callable[[], object] = int
    ) -> None:
        self._scope = scope
        self._send = send
        self._mode = mode
        self._full = full
        self._frames: list[str] = []
        self._size = 0
        self._most = STREAM_BYTES if mode is Mode.STREAM else GATHERED_BYTES
        self._is_started = self._is_ended = False
        self._writer: BodyWriter | None = None
        """Set once the head of a stream is sent, if the server is known."""
        self.further = ""
        """Commands that the response needs as well, before the connection ends."""

    @property
    def is_started(self) -> bool:
        """Whether the status is sent or decided."""
        return self._is_started

    def expect(self, commands: str) -> None:
        """Leave room for the replies to commands."""
        if self._mode is Mode.STREAM:
            self._most += REPLY_BYTES * len(commands)

    async def start(self) -> None:
        """Accept the request; the head of a stream is sent at once."""
        self._is_started = True
        if self._mode is Mode.STREAM:
            await self._head(HTTPStatus.OK, self._headers(STREAM_TYPE))

    async def allow(self) -> None:
        """Answer a page of an allowed origin that asks whether it may send a request."""
        self._is_started = self._is_ended = True
        await self._head(HTTPStatus.NO_CONTENT, [*PREFLIGHT, *cors(self._scope)])
        await self._end()

    async def refuse(self, error: Refusal) -> None:
        """Send an error as the whole response."""
        await self.end_with(error.status, self._encoded(error), error.retry_after)

    async def tell(self, error: Refusal) -> None:
        """Send an error in a response that has begun."""
        with suppress(ConnectionError):  # it is full
            await self.write(self._encoded(error))

    async def end_with(
        self, status: HTTPStatus, frame: str, retry_after: float | None = None
    ) -> None:
        """Send one frame as the whole response, unless it has begun."""
        if not self._is_started:
            self._is_started = self._is_ended = True
            await self._whole(status, f"{frame}\n".encode(), retry_after)

    async def write(self, frame: str) -> None:
        """Send a frame, or keep it for the end; raise `ConnectionError` once it is full."""
        self._check_open()
        if self._mode is Mode.STREAM:
            await self._part(event_of(frame))
        else:
            self._frames.append(frame)
            self._size += len(frame)
        self._end_if_full()

    def write_packet(self, packet: Packet) -> bool:
        """Write a part of a stream at once, past the server; return False if it has to wait."""
        writer = self._writer
        if writer is None or self._is_ended or self._is_large or not writer.is_ready:
            return False
        if transport.buffered_bytes(self._send) > BUFFERED_BYTES:
            return False
        if data := self._part_of(packet):
            writer.write(data)
            self._size += len(data)
        self._end_if_full()
        return True

    def has_news(self, frame: str) -> bool:
        """Return whether a poll ends soon after these frames."""
        return any(_told(line).is_news for line in frame.split("\n"))

    async def comment(self) -> None:
        """Send a comment, so that no proxy takes a quiet stream for a dead one."""
        if not self._is_ended and transport.buffered_bytes(self._send) == 0:
            await self._body(COMMENT)

    async def finish(self) -> None:
        """End the response with what was kept for it."""
        if self._is_ended:
            return
        self._is_ended = True
        if self._mode is Mode.STREAM:
            await self._end()
        else:
            await self._whole(HTTPStatus.OK, "".join(f"{one}\n" for one in self._frames).encode())

    # As the transport of a server, see `engine.servers.transport`.

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait for the client."""
        return transport.buffered_bytes(self._send)

    def is_closing(self) -> bool:
        """Return whether nothing more is sent."""
        return self._is_ended

    def abort(self) -> None:
        """End the connection below at once, because its client reads nothing."""
        self._is_ended = True
        transport.abort(self._send)
        self._full()

    def pause_reading(self) -> None:
        """Do nothing: the client has sent all."""

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> None:
        """Return nothing: the socket belongs to the server."""

    @property
    def _is_large(self) -> bool:
        return self._size >= self._most

    def _encoded(self, error: Refusal) -> str:
        language = language_of(self._scope)
        return NDJSON.encode(Failure.of(error, lambda sentence: translated(sentence, language)))

    def _check_open(self) -> None:
        if self._is_ended or self._is_large:
            raise ConnectionResetError("The response has ended.")

    def _end_if_full(self) -> None:
        if self._is_large:
            self._full()

    def _part_of(self, packet: Packet) -> bytes:
        """Return events as a part of a stream; for many readers they are made once."""
        return packet.events

    async def _part(self, data: bytes) -> None:
        """Send a part of a stream, once the client has read what was sent before."""
        await self._until_read()
        await self._body(data)
        self._size += len(data)

    async def _until_read(self) -> None:
        while transport.buffered_bytes(self._send) > BUFFERED_BYTES:
            await asyncio.sleep(WAIT_SECONDS)

    async def _whole(
        self, status: HTTPStatus, data: bytes, retry_after: float | None = None
    ) -> None:
        headers = self._headers(CONTENT_TYPE)
        headers.append((b"content-length", b"%d" % len(data)))
        if retry_after is not None:
            headers.append((b"retry-after", b"%d" % math.ceil(retry_after)))
        await self._head(status, headers)
        await self._end(data)

    def _headers(self, kind: str) -> Headers:
        return [(b"content-type", kind.encode()), *ALWAYS, *cors(self._scope)]

    async def _head(self, status: HTTPStatus, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if self._mode is Mode.STREAM:
            self._writer = transport.body_writer(self._send)

    async def _body(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


def cors(scope: dict[str, Any]) -> Headers:
    """Return the headers that let a page of an allowed origin read a response."""
    origin = header_of(scope, b"origin")
    if not scope.get(IS_ALLOWED) or not origin:
        return [(b"vary", b"origin")]
    return [
        (b"vary", b"origin"),
        (b"access-control-allow-origin", origin.encode("latin1")),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXPOSED),
    ]
