"""The response of a durable stream, made of the frames of a short connection.

A read is a command of protocol v1, so its rights are those of a socket. An offset is a position and
the epoch of its log.
"""

import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from msgspec import json

from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .durable_request import BEGINNING, DurableRequest, Offset, encoded
from .refusal import Refusal
from .request import Mode
from .response import STREAM_TYPE, Header, Headers, Response

__all__ = ["DurableResponse"]

CURSOR_SECONDS = 20
JSON_TYPE = "application/json"
STATUS: dict[str, HTTPStatus] = {
    ErrorCode.UNKNOWN_ROOM: HTTPStatus.NOT_FOUND,
    ErrorCode.UNKNOWN_TOPIC: HTTPStatus.NOT_FOUND,
    ErrorCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
GONE = _("This offset is not in the log any more. Read again from the beginning.")
ADDRESS = {"type", "room", "topic", "from", "epoch"}
"""The fields of a frame that are not of its item."""
Item = dict[str, Any]


class DurableResponse(Response):
    """The response to a read of a room or topic."""

    def __init__(self, scope: dict[str, Any], send: Any, read: DurableRequest, full: Any) -> None:
        super().__init__(scope, send, read.mode, full)
        self._read = read
        self._next: Offset | None = None
        """From where to read on, once the server has replied."""
        self._is_current = True
        self._is_page = False
        """Whether later events are for the next read, because a page comes before them."""
        self._items: list[Item] = []
        self._refusal: Refusal | None = None

    async def start(self) -> None:
        """Accept the request; its head follows when it is known what there is."""
        self._is_started = True

    async def write(self, frame: str) -> None:
        """Take frames of the connection."""
        self._check_open()
        for line in frame.split("\n"):
            self._take(json.decode(line))
        if self._refusal is not None:
            self._full()
        elif self._mode is Mode.STREAM and self._next is not None:
            await self._send_data()
            self._end_if_full()

    async def finish(self) -> None:
        """Send what was read, or end the stream."""
        if self._is_ended:
            return
        if self._is_begun:
            await super().finish()
            return
        self._is_ended = True
        if self._refusal is None and self._next is None:
            self._refusal = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, ErrorCode.UNAVAILABLE, GONE)
        if self._refusal is not None:
            self._is_started = self._is_ended = False
            await self.refuse(self._refusal)
        else:
            await self._page()

    def has_news(self, frame: str) -> bool:
        """Return whether a poll ends soon: not if its client has only begun at the end."""
        return bool(self._items)

    # Frames.

    def _take(self, frame: Item) -> None:
        match frame.get("type"):
            case "history" | "joined" | "subscribed" if frame.get("ref") in (1, 2):
                self._take_reply(frame)
            case "message" | "changed" | "event":
                state = frame.get("message") or frame
                self._add(state, frame["seq"])
            case "resync":
                self._take_end(frame)
            case "removed" | "error" if frame.get("ref") != 2:
                status = STATUS.get(frame["code"], HTTPStatus.BAD_REQUEST)
                self._refusal = Refusal(status, frame["code"], frame["message"])

    def _take_reply(self, frame: Item) -> None:
        if frame.get("ref") == 2:
            if self._next is None and self._refusal is None:
                self._take_newest(frame)
            return
        if self._read.is_now:
            self._next = Offset(frame["through"], frame["epoch"])
            return
        offset = self._read.offset
        is_other = offset is not None and offset.epoch != frame["epoch"]
        if is_other and offset != (0, ""):
            self._refusal = _gone()
            return
        if frame.get("recovered") is False:
            self._read_page()
            return
        self._items += _items_of(frame)
        self._is_current = not frame.get("has_more")
        self._next = Offset(frame["through"], frame["epoch"])

    def _read_page(self) -> None:
        """Read on as a catch-up read does, because too much was missed to resume."""
        self._is_page = True
        self.further = self._read.page
        self._full()

    def _take_newest(self, frame: Item) -> None:
        """Begin with the newest entries, because older ones were purged."""
        self._items = _items_of(frame)
        last = max(map(_position, self._items), default=0)
        self._next = Offset(last, frame["epoch"])

    def _take_end(self, frame: Item) -> None:
        """Take the end of the log: an offset is not in it, or the client begins there."""
        if self._read.is_now:
            self._next = Offset(frame["seq"], frame["epoch"])
        elif self._read.offset is not None:
            self._refusal = _gone()

    def _add(self, state: Item, seq: int | None) -> None:
        if self._next is None or self._is_page:
            return
        if seq is not None and seq > self._next.seq:
            self._items.append(_item(state))
            self._next = Offset(seq, state.get("epoch") or self._next.epoch)

    # The response.

    @property
    def _is_begun(self) -> bool:
        return self._size > 0

    def _end_if_full(self) -> None:
        super()._end_if_full()
        if not self._is_current:  # nothing follows until the next page is read
            self._full()

    async def _send_data(self) -> None:
        if not self._is_begun:
            await self._begin(HTTPStatus.OK, STREAM_TYPE)
        data = self._events()
        await self._until_read()
        await self._body(data)
        self._size += len(data)

    def _events(self) -> bytes:
        """Return what was read as events of a stream, and keep it no longer."""
        items, self._items = self._items, []
        control: Item = {"streamNextOffset": str(self._next), "streamCursor": str(self._cursor)}
        if self._is_current:
            control["upToDate"] = True
        text = f"event: data\ndata:{encoded(items)}\n\n" if items else ""
        return f"{text}event: control\ndata:{encoded(control)}\n\n".encode()

    async def _page(self) -> None:
        if self._read.live == "sse" and not self._read.is_head:  # from the beginning
            await self._begin(HTTPStatus.OK, STREAM_TYPE)
            await self._end(self._events())
        elif self._read.live and not self._items:
            await self._begin(HTTPStatus.NO_CONTENT, JSON_TYPE)
            await self._end()
        else:
            await self._list()

    async def _list(self) -> None:
        """Send the items as a JSON list, unless the client has it."""
        tag = f'"{self._read.offset or BEGINNING}:{self._next}"'
        is_known = self._read.known == tag and not self._read.live and not self._read.is_head
        data = b"" if self._read.is_head or is_known else json.encode(self._items)
        more: Headers = [(b"etag", tag.encode())]
        if not is_known:
            more.append((b"content-length", b"%d" % len(data)))
        await self._begin(HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK, JSON_TYPE, more)
        await self._end(data)

    async def _begin(self, status: HTTPStatus, kind: str, more: Iterable[Header] = ()) -> None:
        """Send the head of a response, which says how to read on."""
        await self._head(status, [*self._headers(kind), *self._about(), *more])

    def _about(self) -> Iterator[Header]:
        yield b"stream-next-offset", str(self._next).encode()
        if self._is_current:
            yield b"stream-up-to-date", b"true"
        if self._read.live:
            yield b"stream-cursor", str(self._cursor).encode()

    def _headers(self, kind: str) -> Headers:
        found = [one for one in super()._headers(kind) if one[0] != b"cache-control"]
        kept = b"no-store" if self._read.is_now else b"private, no-cache"
        policy = (b"cross-origin-resource-policy", b"same-origin")
        return [*found, policy, (b"cache-control", kept)]

    @property
    def _cursor(self) -> int:
        """The number of the present interval, always above that of the client."""
        return max(int(time.time() // CURSOR_SECONDS), self._read.cursor + 1)


def _gone() -> Refusal:
    return Refusal(HTTPStatus.GONE, "resync", GONE)


def _items_of(reply: Item) -> list[Item]:
    """Return the items of a room's or topic's reply, in the order of the log."""
    states = reply.get("messages") or reply.get("entries") or []
    return sorted(map(_item, states), key=_position)


def _item(state: Item) -> Item:
    return {name: value for name, value in state.items() if name not in ADDRESS}


def _position(item: Item) -> int:
    position: int = item.get("changed_seq") or item["seq"]
    return position
