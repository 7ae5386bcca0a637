"""The channel layer of this process: one channel, and one group for each topic of the site.

The layer may fail at any time, so no message ever waits for it. Notes are published from one
bounded queue. Probes check that this process still receives.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

from channels.layers import InMemoryChannelLayer, channel_layers

from ...conf import config
from ...counts import counts
from ...logs import get_logger
from ...spans import Origin, Span
from .note_queue import MESSAGE_BYTES, QUEUE_NOTES, NoteQueue, QueuedNote, Sent
from .notes import Note, Probe, decode, encode
from .origins import begin_fan_out, carry, origins_of

__all__ = ["Layer", "envelope", "group", "ignore", "make_backend"]

logger = get_logger("realtime.layer")

EVENTS = "realtime.events"
BROKEN = "realtime.broken"
CONTENT_BYTES = 16 * MESSAGE_BYTES
"""The largest layer message that is decoded; no note of ours is larger, even encrypted."""
SEND_SECONDS = 2.0
BREAKER_SECONDS = 1.0
CANCEL_SECONDS = 0.5


def group(site: str, topic: str) -> str:
    """Return the layer group of a site's topic: ASCII, less than 100 characters."""
    return f"realtime.{site}.{topic}"


def ignore(is_sent: bool) -> None:
    """Ignore the result: the other processes also find the change in the database."""


def envelope(site: str, topic: str, origin: str, notes: list[Note]) -> dict[str, Any]:
    """Return the layer message that carries notes."""
    items = [encode(note) for note in notes]
    return {"type": EVENTS, "site": site, "topic": topic, "origin": origin, "notes": items}


class Layer:
    """Subscribes to topics, publishes notes, and calls `handle(topic, items)` with encoded notes.

    If some of them come from spans, `handle` also gets these, by the numbers of the items.
    `find_site` reads the identity of this site; before that, nothing is sent or received.
    `is_shared` is False with the in-memory layer or none: then this process is the only one, and
    it neither subscribes nor publishes.
    """

    def __init__(
        self,
        origin: str,
        handle: Callable[..., None],
        find_site: Callable[[], Awaitable[str]],
    ) -> None:
        self._origin = origin
        self._handle = handle
        self._find_site = find_site
        self._site = ""
        self._backend: Any = self._new_backend()
        self.is_shared = self._backend is not None
        self.is_away = False
        self.is_resubscription_due = False
        self._channel = ""
        self._topics: set[str] = set()
        self._queue = NoteQueue()
        self._is_publishing = False
        self._wake = asyncio.Event()
        self._groups_lock = asyncio.Lock()
        self._probes: dict[str, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._receiver: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to receive and to publish."""
        if self.is_shared:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._publish_all())]
            self._receiver = loop.create_task(self._receive_all())

    async def stop(self) -> None:
        """Publish what is queued for at most two seconds, then close the backend."""
        if not self.is_shared:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                while self._is_publishing and not self.is_away:
                    await asyncio.sleep(0.01)
        await _end(*self._tasks, self._receiver)
        await self._close_backend(self._backend)

    async def subscribe(self, topic: str) -> bool:
        """Subscribe to a topic; return False if the layer is away (the pulse tries again)."""
        self._topics.add(topic)
        return await self._change("group_add", topic)

    async def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic."""
        self._topics.discard(topic)
        await self._change("group_discard", topic)

    def publish(
        self, topic: str, note: Note, sent: Sent = ignore, origin: Origin | None = None
    ) -> None:
        """Queue a note for the other processes; a full queue drops its oldest note.

        `sent` is called with True once the layer has accepted the note. While the layer is away it
        is called with False at once, and may be called again: the note waits for some seconds.
        """
        if not self.is_shared:
            sent(True)
            return
        if self.is_away:
            sent(False)
        self._queue.append(topic, note, sent, origin)
        self._is_publishing = True  # until the last one has been sent
        self._wake.set()

    async def probe(self, topic: str, seconds: float) -> bool:
        """Send a token through the layer to this process; return True if it came back in time."""
        if not self.is_shared:
            return True
        token = uuid4().hex
        arrival = self._probes[token] = asyncio.get_running_loop().create_future()
        self.publish(topic, Probe(token))
        try:
            async with asyncio.timeout(seconds):
                await arrival
        except TimeoutError:
            return False
        finally:
            del self._probes[token]
        return True

    async def check(self, topic: str, seconds: float) -> None:
        """Subscribe to a topic again if a probe of it does not come back in time."""
        if not await self.probe(topic, seconds) and topic in self._topics and not self.is_away:
            logger.warning("topic %s: the subscription was lost, and is made again", topic)
            await self.subscribe(topic)

    async def try_identify(self) -> None:
        """Read the site identity before the first client connects; on an error, retry later."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.identify()
        except Exception as error:
            logger.warning("the site identity cannot be read, and is read again later: %r", error)

    async def identify(self) -> None:
        """Read the site identity again; if it has changed, move all subscriptions.

        It changes when the database is restored or moved under a running process.
        """
        if not self.is_shared:
            return
        old, self._site = self._site, await self._find_site()
        if old in ("", self._site):
            return
        logger.warning("the site identity has changed: subscribing to all topics again")
        for topic in list(self._topics):
            await self._change("group_discard", topic, old)
        await self.resubscribe()

    async def resubscribe(self) -> None:
        """Subscribe to every topic again: subscriptions expire, and Redis may have lost them."""
        self.is_resubscription_due = False
        for topic in list(self._topics):
            if topic in self._topics and not await self._change("group_add", topic):
                return

    async def reopen(self) -> None:
        """Connect and subscribe again, because nothing is received any more."""
        logger.warning("nothing is received from the channel layer: subscribing again")
        if self._is_pubsub:
            await self._replace_backend()
        await self.resubscribe()

    @property
    def group_expiry(self) -> float:
        """The seconds after which the backend drops a subscription."""
        return float(getattr(self._backend, "group_expiry", 86400))

    @property
    def _is_pubsub(self) -> bool:
        # Its one connection may be dead without an error; the core layer polls Redis each time.
        return not hasattr(self._backend, "receive_buffer")

    def _new_backend(self) -> Any:
        backend = make_backend()
        if hasattr(backend, "deserialize"):
            # An exception in it would look like a lost connection to `receive`.
            backend.deserialize = partial(self._deserialize, backend.deserialize)
        return backend

    def _deserialize(self, decode: Callable[[bytes], Any], content: bytes) -> dict[str, Any]:
        message = None
        with suppress(Exception):
            if len(content) <= CONTENT_BYTES:
                message = decode(content)
        if not isinstance(message, dict):
            message = {"type": BROKEN}
        # The core layer stores a message under this channel; only ours is ever read.
        message["__asgi_channel__"] = [self._channel]
        return message

    async def _replace_backend(self) -> None:
        old, receiver = self._backend, self._receiver
        self._backend, self._channel = self._new_backend(), ""
        loop = asyncio.get_running_loop()
        self._receiver = loop.create_task(self._receive_all())
        await self._close_backend(old)
        await _end(receiver)

    async def _close_backend(self, backend: Any) -> None:
        close = getattr(backend, "flush" if self._is_pubsub else "close_pools", None)
        if close is not None:
            with suppress(Exception):
                async with asyncio.timeout(SEND_SECONDS):
                    await close()

    async def _own_channel(self) -> str:
        if not self._channel:
            self._channel = await self._backend.new_channel()
        return self._channel

    async def _known_site(self) -> str:
        if not self._site:
            self._site = await self._find_site()
        return self._site

    async def _change(self, method: str, topic: str, site: str = "") -> bool:
        if not self.is_shared:
            return True
        if self.is_away:  # the first call has waited for the timeout, later ones need not
            self.is_resubscription_due = True
            return False
        try:
            async with self._groups_lock, asyncio.timeout(SEND_SECONDS):
                name = group(site or await self._known_site(), topic)
                await getattr(self._backend, method)(name, await self._own_channel())
        except Exception as error:
            self._fail("subscribe", error)
            self.is_resubscription_due = True
            return False
        return True

    async def _receive_all(self) -> None:
        backend = self._backend
        while True:
            try:
                async with self._groups_lock, asyncio.timeout(SEND_SECONDS):
                    channel = await self._own_channel()
                while True:
                    self._unpack(await backend.receive(channel))
            except Exception as error:
                self._fail("receive", error)
                await asyncio.sleep(BREAKER_SECONDS / 2)

    def _unpack(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind != EVENTS and kind != BROKEN:  # the site may use the same layer
            return
        match message:
            case {"site": site, "topic": str(topic), "origin": str(origin), "notes": list(items)}:
                if site == self._site and len(items) <= QUEUE_NOTES:
                    self._dispatch_notes(topic, origin, items, origins_of(message))
            case _:
                logger.warning("a broken message on the channel layer was dropped")

    def _dispatch_notes(
        self, topic: str, origin: str, items: list[Any], origins: dict[int, Origin]
    ) -> None:
        if origin == self._origin:
            self._dispatch_own(items)
            return
        counts.notes_received += len(items)
        try:
            self._handle(topic, items, *([origins] if origins else []))
        except Exception:
            logger.exception("topic %s: notes from the channel layer cannot be handled", topic)

    def _dispatch_own(self, items: list[Any]) -> None:
        """Handle notes that this process has published; only its probes matter."""
        for item in items if self._probes else ():
            with suppress(ValueError, RecursionError):
                self._resolve_probe(decode(item))

    def _resolve_probe(self, note: Note) -> None:
        match note:
            case Probe(token) if token in self._probes:
                if not self._probes[token].done():
                    self._probes[token].set_result(None)

    async def _publish_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._is_publishing = True
            while self._queue:
                if not await self._publish(*self._queue.next_batch()):
                    await asyncio.sleep(BREAKER_SECONDS)
            self._is_publishing = False

    async def _publish(self, topic: str, batch: list[QueuedNote]) -> bool:
        with begin_fan_out(batch) as span:
            return await self._send(topic, batch, span)

    async def _send(self, topic: str, batch: list[QueuedNote], span: Span) -> bool:
        notes = [entry.note for entry in batch]
        for attempt in (1, 2):  # the first send on a stale connection raises
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    site = await self._known_site()
                    message = envelope(site, topic, self._origin, notes)
                    carry(message, batch, span)
                    await self._backend.group_send(group(site, topic), message)
            except (TypeError, ValueError, OverflowError) as error:
                span.end(error)
                logger.exception("topic %s: a note cannot be sent", topic)
                _report(batch, False)
                return True
            except Exception as error:
                if attempt == 2 or self.is_away or isinstance(error, TimeoutError):
                    span.end(error)
                    self._fail("publish", error)
                    break
            else:
                self.is_away = False
                counts.notes_sent += len(batch)
                _report(batch, True)
                return True
        _report(batch, False)
        self._queue.put_back(batch)
        return False

    def _fail(self, what: str, error: Exception) -> None:
        if not self.is_away:
            logger.warning("the channel layer is away, cannot %s: %r", what, error)
        self.is_away = True


def _report(batch: list[QueuedNote], is_sent: bool) -> None:
    for entry in batch:
        entry.sent(is_sent)


async def _end(*tasks: asyncio.Task[None] | None) -> None:
    pending = {task for task in tasks if task is not None}
    while pending:
        # Cancel repeatedly: before Python 3.12 `asyncio.wait_for`, which redis-py uses, may lose a
        # cancellation (https://github.com/python/cpython/issues/86296).
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)


def make_backend() -> Any:
    """Create a channel layer for this process; None if it is not shared between processes."""
    alias = config().channel_layer
    if alias not in channel_layers:
        return None
    # A separate instance: the site's use of its own cannot stop ours from receiving, or vice versa.
    backend = channel_layers.make_backend(alias)
    return None if isinstance(backend, InMemoryChannelLayer) else backend
