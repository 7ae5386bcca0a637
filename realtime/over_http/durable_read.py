"""One read of a log by a client: items and an offset, from the frames of a short connection.

An offset is a position and the epoch of its log.
"""

from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from msgspec import Raw, json

from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .durable_request import NONE_READ, DurableRequest, Offset
from .refusal import Refusal

__all__ = ["DurableRead", "Item"]

STATUS: dict[str, HTTPStatus] = {
    ErrorCode.UNKNOWN_ROOM: HTTPStatus.NOT_FOUND,
    ErrorCode.UNKNOWN_TOPIC: HTTPStatus.NOT_FOUND,
    ErrorCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
GONE = _("This offset is not in the log any more. Read again from the beginning.")
EVENTS = {"message", "changed", "event"}
ADDRESS = {"type", "room", "topic", "from", "epoch"}
"""The fields of a frame that are not of its item."""
SHARED_FRAMES = 16
"""The number of frames that stay decoded for their other readers."""
Frame = dict[str, Any]


class Item(NamedTuple):
    """A message or entry, as JSON that is made once for all readers."""

    position: int
    json: Raw


class DurableRead:
    """The progress of a read of a room or topic."""

    def __init__(self, request: DurableRequest) -> None:
        self._request = request
        self._is_page = False
        """Whether later events are for the next read, because a page comes before them."""
        self._end = 0
        """The position of the end, if the beginning was purged."""
        self.next: Offset | None = None
        """From where to read on, once the server has replied."""
        self.is_current = True
        """Whether there is no further page."""
        self.items: list[Item] = []
        self.refusal: Refusal | None = None
        self.further = ""
        """Commands that the read needs as well; it gets no event after them."""

    def take(self, text: str) -> None:
        """Take frames of the connection."""
        is_shared = self.next is not None  # a reply is for one reader only
        for frame, item in _decoded_once(text) if is_shared else _decoded(text):
            self._take(frame, item)

    def taken(self) -> list[Item]:
        """Return the items that were read, and keep them no longer."""
        items, self.items = self.items, []
        return items

    def _take(self, frame: Frame, item: Item | None) -> None:
        if item is not None:
            self._add(item, frame.get("epoch"))
        match frame.get("type"):
            case "history" | "joined" | "subscribed" if frame.get("ref") in (1, 2):
                self._take_reply(frame)
            case "resync":
                self._take_end(frame)
            case "removed" | "error" if frame.get("ref") != 2:
                status = STATUS.get(frame["code"], HTTPStatus.BAD_REQUEST)
                after = frame.get("retry_after")
                code, message = frame["code"], frame["message"]
                self.refusal = Refusal(status, code, message, retry_after=after)

    def _take_reply(self, frame: Frame) -> None:
        if frame.get("ref") == 2:
            if self.next is None and self.refusal is None:
                self._take_newest(frame)
            return
        if self._request.is_now:
            self.next = Offset(frame["through"], frame["epoch"])
            return
        offset = self._request.offset
        is_other = offset is not None and offset.epoch != frame["epoch"]
        if is_other and offset != NONE_READ:
            self.refusal = _gone()
        elif frame.get("recovered") is False and frame["through"]:
            self._read_page()
        else:
            self._take_items(frame)

    def _take_items(self, frame: Frame) -> None:
        self.items += _items_of(frame)
        self.is_current = not frame.get("has_more")
        self.next = Offset(frame["through"], frame["epoch"])

    def _read_page(self) -> None:
        """Read on as a catch-up read does, because too much was missed to resume."""
        self._is_page = True
        self.further = self._request.pages

    def _take_newest(self, frame: Frame) -> None:
        """Begin with the newest entries, because older ones were purged."""
        self.items = _items_of(frame)
        last = max((item.position for item in self.items), default=self._end)
        self.next = Offset(last, frame["epoch"])

    def _take_end(self, frame: Frame) -> None:
        """Take the end of the log: an offset is not in it, or the client begins there."""
        if self._request.is_now:
            self.next = Offset(frame["seq"], frame["epoch"])
        elif self._request.offset is not None:
            self.refusal = _gone()
        self._end = frame["seq"]

    def _add(self, item: Item, epoch: str | None) -> None:
        if self.next is None or self._is_page:
            return
        if item.position > self.next.seq:
            self.items.append(item)
            self.next = Offset(item.position, epoch or self.next.epoch)


def _gone() -> Refusal:
    return Refusal(HTTPStatus.GONE, "resync", GONE)


def _decoded(text: str) -> list[tuple[Frame, Item | None]]:
    frames = map(json.decode, text.split("\n"))
    return [(frame, _event(frame)) for frame in frames]


_decoded_once = lru_cache(SHARED_FRAMES)(_decoded)


def _event(frame: Frame) -> Item | None:
    """Return the item of an event; None for other frames, and for what is not stored."""
    if frame.get("type") not in EVENTS or frame["seq"] is None:
        return None
    return Item(frame["seq"], _json_of(frame.get("message") or frame))


def _items_of(reply: Frame) -> list[Item]:
    """Return the items of a room's or topic's reply, in the order of the log."""
    states = reply.get("messages") or reply.get("entries") or []
    items = (Item(one.get("changed_seq") or one["seq"], _json_of(one)) for one in states)
    return sorted(items, key=lambda item: item.position)


def _json_of(state: Frame) -> Raw:
    kept = {name: value for name, value in state.items() if name not in ADDRESS}
    return Raw(json.encode(kept))
