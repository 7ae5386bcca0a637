"""The channel layer as this process uses it: one channel, one group a topic of this site.

The layer is a doorbell that may fail at any time; nothing here is ever waited for on the
way of a message. Publishing goes through one bounded queue; hearing is checked by probes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from channels.layers import InMemoryChannelLayer, channel_layers
from msgspec.structs import astuple

from ...conf import config
from ...logs import get_logger
from .notes import LogEvent, Note, Probe, decode, encode

__all__ = ["Layer", "envelope", "group", "make_backend"]

logger = get_logger("realtime.layer")

EVENTS = "realtime.events"
BROKEN = "realtime.broken"
QUEUE_NOTES = 1000
QUEUE_BYTES = 8 * 1024 * 1024
NOTE_BYTES = 36
"""What a note takes beside its strings."""
MESSAGE_BYTES = 256 * 1024
CONTENT_BYTES = 16 * MESSAGE_BYTES
"""The largest layer message that is decoded: more than one note may have, encrypted as well."""
SEND_SECONDS = 2.0
BREAKER_SECONDS = 1.0
CANCEL_SECONDS = 0.5
STALE_SECONDS = 5.0


def group(site: str, topic: str) -> str:
    """Return the layer group of a site's topic: ASCII, less than 100 characters."""
    return f"realtime.{site}.{topic}"


class _Queued(NamedTuple):
    topic: str
    note: Note
    size: int
    at: float
    sent: Callable[[bool], None]


def _ignore(is_sent: bool) -> None:
    """Ignore the result: the other processes also find the change in the database."""


def envelope(site: str, topic: str, origin: str, notes: list[Note]) -> dict[str, Any]:
    """Return the layer message that carries notes."""
    items = [encode(note) for note in notes]
    return {"type": EVENTS, "site": site, "topic": topic, "origin": origin, "notes": items}


class Layer:
    """Subscribes and publishes; calls `hear(topic, items)` with the notes that arrive, encoded.

    `find_site` reads the identity of this site, without which nothing is heard or said.
    `is_shared` is False with the in-memory layer or none: then this process is alone, and
    nothing is subscribed or published at all.
    """

    def __init__(
        self,
        origin: str,
        receive: Callable[[str, list[Any]], None],
        find_site: Callable[[], Awaitable[str]],
    ) -> None:
        self._origin = origin
        self._receive = receive
        self._find_site = find_site
        self._site = ""
        self._backend: Any = self._new_backend()
        self.is_shared = self._backend is not None
        self.is_away = False
        self.is_resubscription_due = False
        self._channel = ""
        self._topics: set[str] = set()
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._is_publishing = False
        self._wake = asyncio.Event()
        self._groups_lock = asyncio.Lock()
        self._probes: dict[str, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._receiver: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to receive and publish."""
        if self.is_shared:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._publish_all())]
            self._receiver = loop.create_task(self._receive_all())

    async def stop(self) -> None:
        """Publish what is queued for at most two seconds, then let go of the backend."""
        if not self.is_shared:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                while self._is_publishing and not self.is_away:
                    await asyncio.sleep(0.01)
        await _end(*self._tasks, self._receiver)
        await self._close_backend(self._backend)

    async def subscribe(self, topic: str) -> bool:
        """Hear a topic from now on; False if the layer is away (the pulse tries again)."""
        self._topics.add(topic)
        return await self._change("group_add", topic)

    async def unsubscribe(self, topic: str) -> None:
        """Hear a topic no more."""
        self._topics.discard(topic)
        await self._change("group_discard", topic)

    def publish(self, topic: str, note: Note, sent: Callable[[bool], None] = _ignore) -> None:
        """Tell the other processes; the oldest is dropped when too much waits.

        `sent` is called with whether the layer took it: False while the layer is away, where
        the note still waits for some seconds. It may be called again.
        """
        if not self.is_shared:
            sent(True)
            return
        if self.is_away:
            sent(False)
        size = sum(len(part) for part in astuple(note) if isinstance(part, str)) + NOTE_BYTES
        self._queue.append(_Queued(topic, note, size, time.monotonic(), sent))
        self._bytes += size
        while len(self._queue) > QUEUE_NOTES or self._bytes > QUEUE_BYTES:
            dropped = self._queue.popleft()
            self._bytes -= dropped.size
            dropped.sent(False)
        self._is_publishing = True  # until the last one has been sent
        self._wake.set()

    async def probe(self, topic: str, seconds: float) -> bool:
        """Send something through the layer to ourselves; True if it came back in time."""
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

    async def try_identify(self) -> None:
        """Read the site identity before the first client comes; on an error, retry later."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.identify()
        except Exception as error:
            logger.warning("the site's identity cannot be read: %r", error)

    async def identify(self) -> None:
        """Read the site's identity again, and move all subscriptions where it has changed.

        It does where the database was restored or moved under a running process.
        """
        if not self.is_shared:
            return
        old, self._site = self._site, await self._find_site()
        if old in ("", self._site):
            return
        logger.warning("the site's identity on the channel layer has changed: subscribing again")
        for topic in list(self._topics):
            await self._change("group_discard", topic, old)
        await self.resubscribe()

    async def resubscribe(self) -> None:
        """Subscribe to every topic again: memberships expire, and Redis may have forgotten them."""
        self.is_resubscription_due = False
        for topic in list(self._topics):
            if topic in self._topics and not await self._change("group_add", topic):
                return

    async def reopen(self) -> None:
        """Begin anew where nothing is heard any more."""
        logger.warning("the channel layer does not answer: subscribing again")
        if self._is_pubsub:
            await self._replace_backend()
        await self.resubscribe()

    @property
    def group_expiry(self) -> float:
        """After how many seconds the backend forgets a subscription."""
        return float(getattr(self._backend, "group_expiry", 86400))

    @property
    def _is_pubsub(self) -> bool:
        # Its one connection may be deaf without knowing; the core layer asks Redis each time.
        return not hasattr(self._backend, "receive_buffer")

    def _new_backend(self) -> Any:
        backend = make_backend()
        if hasattr(backend, "deserialize"):
            # What it raises would end `receive` as a lost connection does.
            backend.deserialize = partial(self._deserialize, backend.deserialize)
        return backend

    def _deserialize(self, decode: Callable[[bytes], Any], content: bytes) -> dict[str, Any]:
        message = None
        with suppress(Exception):
            if len(content) <= CONTENT_BYTES:
                message = decode(content)
        if not isinstance(message, dict):
            message = {"type": BROKEN}
        # The core layer keeps a message under this name; nobody would ask for any other.
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
        if self.is_away:  # whoever came first has waited for all
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
                    self._dispatch(await backend.receive(channel))
            except Exception as error:
                self._fail("receive", error)
                await asyncio.sleep(BREAKER_SECONDS / 2)

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind != EVENTS and kind != BROKEN:  # the layer may be the site's own as well
            return
        match message:
            case {"site": site, "topic": str(topic), "origin": str(origin), "notes": list(items)}:
                if site == self._site and len(items) <= QUEUE_NOTES:
                    self._dispatch_notes(topic, origin, items)
            case _:
                logger.warning("a broken message on the channel layer was dropped")

    def _dispatch_notes(self, topic: str, origin: str, items: list[Any]) -> None:
        if origin == self._origin:
            self._dispatch_own(items)
            return
        try:
            self._receive(topic, items)
        except Exception:
            logger.exception("a message of topic %s could not be taken", topic)

    def _dispatch_own(self, items: list[Any]) -> None:
        """Take our own notes, of which only the probes matter here."""
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
                if not await self._publish(*self._next_batch()):
                    await asyncio.sleep(BREAKER_SECONDS)
            self._is_publishing = False

    def _next_batch(self) -> tuple[str, list["_Queued"]]:
        topic = self._queue[0].topic
        batch: list[_Queued] = []
        size = 0
        while self._queue and self._queue[0].topic == topic:
            if batch and size + self._queue[0].size > MESSAGE_BYTES:
                break
            batch.append(self._queue.popleft())
            size += batch[-1].size
        self._bytes -= size
        return topic, batch

    async def _publish(self, topic: str, batch: list["_Queued"]) -> bool:
        notes = [entry.note for entry in batch]
        for attempt in (1, 2):  # the first send on a stale connection raises
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    site = await self._known_site()
                    message = envelope(site, topic, self._origin, notes)
                    await self._backend.group_send(group(site, topic), message)
            except (TypeError, ValueError, OverflowError):
                logger.exception("topic %s: a note cannot be sent", topic)
                _report(batch, False)
                return True
            except Exception as error:
                if attempt == 2 or self.is_away or isinstance(error, TimeoutError):
                    self._fail("publish", error)
                    break
            else:
                self.is_away = False
                _report(batch, True)
                return True
        _report(batch, False)
        self._put_back(batch)
        return False

    def _put_back(self, batch: list["_Queued"]) -> None:
        """Keep what is of the log, and what is not yet stale: nobody types a minute later."""
        oldest = time.monotonic() - STALE_SECONDS
        kept = [entry for entry in batch if isinstance(entry.note, LogEvent) or entry.at > oldest]
        self._queue.extendleft(reversed(kept))
        self._bytes += sum(entry.size for entry in kept)

    def _fail(self, what: str, error: Exception) -> None:
        if not self.is_away:
            logger.warning("the channel layer cannot %s: %r", what, error)
        self.is_away = True


def _report(batch: list[_Queued], is_sent: bool) -> None:
    for entry in batch:
        entry.sent(is_sent)


async def _end(*tasks: asyncio.Task[None] | None) -> None:
    pending = {task for task in tasks if task is not None}
    while pending:
        # More than once: below Python 3.12 `asyncio.wait_for`, which redis-py sends with, may lose
        # a cancellation (https://github.com/python/cpython/issues/86296).
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)


def make_backend() -> Any:
    """A channel layer of our own, None where it is not shared between processes."""
    alias = config().channel_layer
    if alias not in channel_layers:
        return None
    # Our own instance: what others do with theirs cannot make us deaf, nor we them.
    backend = channel_layers.make_backend(alias)
    return None if isinstance(backend, InMemoryChannelLayer) else backend
