"""The response of a durable stream: it writes what `DurableRead` has read.

A read is a command of protocol v1, so its rights are those of a socket.
"""

import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from msgspec import json

from ..wire.errors import ErrorCode
from ..wire.packet import Packet
from ..wire.text import Text as _
from .durable_read import DurableRead
from .durable_request import BEGINNING, DurableRequest, encoded
from .refusal import Refusal
from .request import Mode
from .response import STREAM_TYPE, Header, Headers, Response

__all__ = ["DurableResponse"]

CURSOR_SECONDS = 20
JSON_TYPE = "application/json"
NO_REPLY = _("The server has not read this stream in time. Read again.")


class DurableResponse(Response):
    """The response to a read of a room or topic."""

    def __init__(
        self, scope: dict[str, Any], send: Any, request: DurableRequest, full: Any
    ) -> None:
        super().__init__(scope, send, request.mode, full)
        self._request = request
        self._read = DurableRead(request)

    async def start(self) -> None:
        """Accept the request; its head follows when it is known what there is."""
        self._is_started = True

    async def write(self, frame: str) -> None:
        """Take frames of the connection."""
        self._check_open()
        self._take(frame)
        if self._mode is Mode.STREAM and self._has_part:
            if not self._is_begun:
                await self._begin(HTTPStatus.OK, STREAM_TYPE)
            await self._part(self._events())
            self._end_if_full()

    async def finish(self) -> None:
        """Send what was read, or end the stream."""
        if self._is_ended:
            return
        if self._is_begun:
            await super().finish()
            return
        self._is_ended = True
        refusal = self._read.refusal
        if refusal is None and self._read.next is None:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            refusal = Refusal(status, ErrorCode.UNAVAILABLE, NO_REPLY, retry_after=1)
        if refusal is not None:
            self._is_started = self._is_ended = False
            await self.refuse(refusal)
        else:
            await self._page()

    def has_news(self, frame: str) -> bool:
        """Return whether a poll ends soon: not if its client has only begun at the end."""
        return bool(self._read.items)

    @property
    def _is_begun(self) -> bool:
        return self._size > 0

    def _end_if_full(self) -> None:
        super()._end_if_full()
        if not self._read.is_current:  # nothing follows until the next page is read
            self._full()

    def _take(self, frame: str) -> None:
        read = self._read
        read.take(frame)
        if read.further:
            self.further, read.further = read.further, ""
            self._full()
        if read.refusal is not None:
            self._full()

    @property
    def _has_part(self) -> bool:
        """Whether there is something to send; the first part says from where to read on."""
        read = self._read
        is_first = read.next is not None and not self._is_begun
        return read.refusal is None and (is_first or bool(read.items))

    def _part_of(self, packet: Packet) -> bytes:
        for frame in packet.frames:
            self._take(str(frame))
        return self._events() if self._has_part else b""

    def _events(self) -> bytes:
        """Return what was read as events of a stream, and keep it no longer."""
        text = f"event: data\ndata:{self._items().decode()}\n\n" if self._read.items else ""
        control: dict[str, Any] = {
            "streamNextOffset": str(self._read.next),
            "streamCursor": str(self._cursor),
        }
        if self._read.is_current:
            control["upToDate"] = True
        return f"{text}event: control\ndata:{encoded(control)}\n\n".encode()

    def _items(self) -> bytes:
        """Return what was read as a JSON list, and keep it no longer."""
        return json.encode([item.json for item in self._read.taken()])

    async def _page(self) -> None:
        if self._request.live == "sse" and not self._request.is_head:  # from the beginning
            await self._begin(HTTPStatus.OK, STREAM_TYPE)
            await self._end(self._events())
        elif self._request.live and not self._read.items:
            await self._begin(HTTPStatus.NO_CONTENT, JSON_TYPE)
            await self._end()
        else:
            await self._list()

    async def _list(self) -> None:
        """Send the items as a JSON list, unless the client has it."""
        request = self._request
        tag = f'"{request.offset or BEGINNING}:{self._read.next}"'
        is_known = request.known == tag and not request.live and not request.is_head
        data = b"" if request.is_head or is_known else self._items()
        more: Headers = [(b"etag", tag.encode())]
        if not is_known:
            more.append((b"content-length", b"%d" % len(data)))
        await self._begin(HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK, JSON_TYPE, more)
        await self._end(data)

    async def _begin(self, status: HTTPStatus, kind: str, more: Iterable[Header] = ()) -> None:
        """Send the head of a response, which says how to read on."""
        await self._head(status, [*self._headers(kind), *self._about(), *more])

    def _about(self) -> Iterator[Header]:
        yield b"stream-next-offset", str(self._read.next).encode()
        if self._read.is_current:
            yield b"stream-up-to-date", b"true"
        if self._request.live:
            yield b"stream-cursor", str(self._cursor).encode()

    def _headers(self, kind: str) -> Headers:
        found = [one for one in super()._headers(kind) if one[0] != b"cache-control"]
        kept = b"no-store" if self._request.is_now else b"private, no-cache"
        policy = (b"cross-origin-resource-policy", b"same-origin")
        return [*found, policy, (b"cache-control", kept)]

    @property
    def _cursor(self) -> int:
        """The number of the present interval, always above that of the client."""
        return max(int(time.time() // CURSOR_SECONDS), self._request.cursor + 1)
