"""Messages without an ack: bounded, kept over reconnects, and sent in order within a room."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from ..wire.events import Ack
from ..wire.failures import RealtimeError
from .line import Line

__all__ = ["Destination", "Outbox", "make_nonce"]

ACK_SECONDS = 15.0
RESEND_SECONDS, RESEND_MOST = 60.0, 200
DAY = 86_400.0
MOST_BYTES = 1024 * 1024
MOST_JOINS = 5  # of a room that refuses a message of a member


def make_nonce() -> str:
    """Return a new idempotency key."""
    return secrets.token_urlsafe(16)


class Destination(Protocol):
    """The room of a message, as far as the outbox must know it."""

    slug: str

    @property
    def is_wanted(self) -> bool:
        """Whether the client is to be in the room."""

    @property
    def line(self) -> Line | None:
        """The line on which the client has joined the room."""

    def reenter(self) -> None:
        """Join the room again: the server does not know that the client is in it."""


class _Stage(Enum):
    QUEUED = 1
    SENT = 2
    HELD = 3


@dataclass(eq=False, slots=True)
class _Item:
    message: dict[str, Any]
    room: Destination
    settled: asyncio.Future[Ack]
    size: int
    at: float = field(default_factory=time.monotonic)
    stage: _Stage = _Stage.QUEUED
    joins: int = 0
    sent_at: float = 0.0
    acknowledged_at: float = 0.0
    line: Line | None = None
    ref: int = 0

    @property
    def slug(self) -> str:
        return self.room.slug

    @property
    def outcome(self) -> str:
        return "unknown" if self.sent_at else "not_sent"


class Outbox:
    """All messages of a client that wait for their ack.

    `limit` is how many may wait, and `encode` raises for what cannot be sent. One message of a room
    is under way at a time, so that none overtakes one that has to wait.
    """

    def __init__(self, limit: int, encode: Callable[[dict[str, Any]], bytes]) -> None:
        self._limit = limit
        self._encode = encode
        self._queues: dict[str, deque[_Item]] = {}
        self._acknowledged: deque[_Item] = deque()
        self._size = self._count = 0

    def __len__(self) -> int:
        return self._count

    async def send(self, room: Destination, message: dict[str, Any]) -> Ack:
        """Send a message over as many lines as it takes; return its ack.

        A caller that is cancelled takes the message back, unless it is under way already.
        """
        item = self._add(room, message)
        self.flush(room.slug)
        try:
            return await item.settled
        except asyncio.CancelledError:
            self._take_back(item)
            raise

    def flush(self, slug: str) -> None:
        """Send the first message of a room, if it may be sent now."""
        self._drop_expired(slug)
        queue = self._queues.get(slug)
        if queue and queue[0].stage is _Stage.QUEUED and (line := queue[0].room.line) is not None:
            self._transmit(queue[0], line)

    def repeat(self) -> None:
        """Send messages again that were sent long ago and have no reply."""
        late = time.monotonic() - ACK_SECONDS
        for slug, queue in list(self._queues.items()):
            if queue[0].stage is _Stage.SENT and queue[0].sent_at < late:
                queue[0].stage = _Stage.QUEUED
            self.flush(slug)

    def resume(self, slug: str, *, is_anew: bool) -> None:
        """Send the messages of a room that was joined again.

        If its log began anew, first send again what was acknowledged lately: what the server still
        has, it stores only once.
        """
        if is_anew:
            self._send_again(slug)
        if queue := self._queues.get(slug):
            queue[0].stage = _Stage.QUEUED
        self.flush(slug)

    def fail(self, error: RealtimeError, slug: str | None = None) -> None:
        """Give up all messages, or those of a room."""
        for item in list(self._items(slug)):
            self._finish(item, error)
        self._acknowledged = deque(
            item for item in self._acknowledged if slug is not None and item.slug != slug
        )

    def _items(self, slug: str | None) -> Iterator[_Item]:
        for name, queue in self._queues.items():
            if slug in (None, name):
                yield from queue

    def _add(self, room: Destination, message: dict[str, Any]) -> _Item:
        if not room.is_wanted:
            text = f"Join the room {room.slug} before you send to it."
            raise RealtimeError("not_joined", text, outcome="not_sent")
        size = len(self._encode(message))
        if self._count >= self._limit or self._size + size > MOST_BYTES:
            raise RealtimeError("queue_full", is_retryable=True, outcome="not_sent")
        settled = asyncio.get_running_loop().create_future()
        settled.add_done_callback(_look_at)
        item = _Item(message, room, settled, size)
        self._queues.setdefault(room.slug, deque()).append(item)
        self._count += 1
        self._size += size
        return item

    def _take_back(self, item: _Item) -> None:
        if item.stage is not _Stage.SENT:
            self._remove(item)
        elif item.line is not None and item.line.withdraw(item.ref):
            self._remove(item)
            self.flush(item.slug)

    def _drop_expired(self, slug: str) -> None:
        """Fail the first messages of a room that have waited for too long."""
        oldest = time.monotonic() - DAY
        while (queue := self._queues.get(slug)) and queue[0].at < oldest:
            if queue[0].stage is not _Stage.QUEUED:
                return
            self._finish(queue[0], RealtimeError("expired", outcome=queue[0].outcome))

    def _transmit(self, item: _Item, line: Line) -> None:
        item.stage, item.sent_at, item.line = _Stage.SENT, time.monotonic(), line
        command = {"type": "message", "room": item.slug, **item.message}
        try:
            item.ref = line.ask(
                command,
                lambda ack: self._acknowledge(item, ack),
                lambda error: self._refused(item, error),
            )
        except RealtimeError as error:  # it is too large for this server
            self._settle(item, error)

    def _acknowledge(self, item: _Item, ack: Ack) -> None:
        if item.acknowledged_at and item in self._acknowledged:
            self._acknowledged.remove(item)
        item.acknowledged_at = time.monotonic()
        self._acknowledged.append(item)
        self._drop_old()
        self._settle(item, ack)

    def _drop_old(self) -> None:
        oldest = time.monotonic() - RESEND_SECONDS
        while self._acknowledged and (
            len(self._acknowledged) > RESEND_MOST or self._acknowledged[0].acknowledged_at < oldest
        ):
            self._acknowledged.popleft()

    def _send_again(self, slug: str) -> None:
        self._drop_old()
        again = [item for item in self._acknowledged if item.slug == slug]
        queue = self._queues.setdefault(slug, deque())
        for item in reversed(again):
            if item not in queue:
                item.stage, item.at = _Stage.QUEUED, time.monotonic()
                queue.appendleft(item)
                self._count += 1
                self._size += item.size
        if not queue:
            del self._queues[slug]

    def _refused(self, item: _Item, error: RealtimeError) -> None:
        item.stage = _Stage.QUEUED
        if error.code == "offline":
            return
        item.joins = item.joins + 1 if error.code == "not_joined" else 0
        if 0 < item.joins <= MOST_JOINS and item.room.is_wanted:
            item.room.reenter()
        elif error.is_retryable and item.line is not None:
            item.stage = _Stage.HELD
            item.line.after(error.retry_after, lambda: self._release(item))
        else:
            self._settle(item, error)

    def _release(self, item: _Item) -> None:
        if item.stage is _Stage.HELD:
            item.stage = _Stage.QUEUED
        self.flush(item.slug)

    def _settle(self, item: _Item, result: Ack | RealtimeError) -> None:
        self._finish(item, result)
        self.flush(item.slug)

    def _finish(self, item: _Item, result: Ack | RealtimeError) -> None:
        self._remove(item)
        if item.settled.done():
            return
        if isinstance(result, Ack):
            item.settled.set_result(result)
        else:
            item.settled.set_exception(result)

    def _remove(self, item: _Item) -> None:
        queue = self._queues.get(item.slug)
        if queue is None or item not in queue:
            return
        queue.remove(item)
        self._count -= 1
        self._size -= item.size
        if not queue:
            del self._queues[item.slug]


def _look_at(settled: asyncio.Future[Ack]) -> None:
    """Mark an exception as seen: the caller may have been cancelled."""
    if not settled.cancelled():
        settled.exception()
