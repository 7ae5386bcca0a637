"""Publish notes from a process that serves no sockets: a worker, a command, a WSGI server."""

import asyncio
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from django.db import connections

from ...store.database import site
from .layer import BREAKER_SECONDS, SEND_SECONDS, envelope, group, make_backend
from .note_queue import NoteQueue
from .notes import Note

__all__ = ["LayerUnavailable", "Publisher", "publisher"]

SITE_SECONDS = 5.0
"""The site identity is read again after this time."""
BURST_SECONDS, BURST_NOTES = 0.02, 20
"""After so many notes that followed each other within this time, callers do not wait."""
UNANSWERED_NOTES = 500
"""The most notes of a burst that the layer has not accepted yet; more would be dropped."""
NO_ANSWER = "The channel layer does not answer."
NOT_SHARED = (
    "This process serves no sockets, and shares no channel layer with the processes that do."
    " Set CHANNEL_LAYERS to a Redis layer."
)

_inherited: list[Any] = []
"""What a parent process was using; in a forked child it must be neither used nor closed."""


class LayerUnavailable(Exception):  # noqa: N818 - a state of the site, like Django's Http404
    """This process cannot reach the others: there is no shared layer, or it does not answer."""


class Publisher:
    """Publishes from one event loop in its own thread, so that the process keeps one connection."""

    def __init__(self) -> None:
        self.is_server = False
        """Whether this process serves sockets. Before its engine starts, it has none yet."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backend: Any = None
        self._queue = NoteQueue()
        self._publishing: asyncio.Task[None] | None = None
        self._unanswered: deque[Future[str]] = deque()
        self._submitted_at = 0.0
        self._in_a_row = 0
        self._failure = NO_ANSWER
        self._closed_until = 0.0
        self._site = ""
        self._site_until = 0.0

    def publish(self, topic: str, note: Note) -> None:
        """Publish a note, and wait at most two seconds for the layer.

        Raises `LayerUnavailable` if the layer did not accept the note, or if there is no shared
        layer and other processes may serve sockets.
        """
        result = self.submit(topic, note)
        try:
            reason = result.result(SEND_SECONDS)
        except TimeoutError:
            reason = NO_ANSWER
        if reason:
            raise LayerUnavailable(reason)

    def submit(self, topic: str, note: Note) -> "Future[str]":
        """Publish a note; the future gets the reason of a failure, or an empty string.

        Waits for the layer, except in a burst of many notes, which are published together. So a
        process that ends without its exit handlers loses no single note.
        """
        result: Future[str] = Future()
        loop, reason = self._ready()
        if loop is None:
            result.set_result(reason)
            return result
        loop.call_soon_threadsafe(self._enqueue, topic, note, result)
        self._wait(result)
        return result

    def flush(self, seconds: float = SEND_SECONDS) -> None:
        """Wait until the layer has accepted everything, at most for so many seconds."""
        until = time.monotonic() + seconds
        for result in list(self._unanswered):
            with suppress(TimeoutError):
                result.result(max(0.0, until - time.monotonic()))

    @property
    def is_shared(self) -> bool:
        """Whether processes share a channel layer; known after the first `publish`."""
        return self._backend is not None

    def reset(self) -> None:
        """Start again in a forked child, where the thread of the parent does not run."""
        _inherited.append((self._loop, self._backend, self._publishing))
        self.__init__()  # type: ignore[misc]

    def _ready(self) -> tuple[asyncio.AbstractEventLoop | None, str]:
        """Return the loop to publish from; without one, the reason why that is not possible."""
        if time.monotonic() < self._closed_until:
            return None, NO_ANSWER
        try:
            with self._lock:
                self._start()
        except Exception as error:
            return None, f"The channel layer cannot be made: {error!r}."
        if self._loop is None and not self.is_server:
            return None, NOT_SHARED
        return self._loop, ""  # without a loop, this is the only process, without connections yet

    def _start(self) -> None:
        if self._loop is not None:
            return
        self._backend = make_backend()
        if self._backend is None:
            return
        self._loop = asyncio.new_event_loop()
        threading.Thread(
            target=self._loop.run_forever, name="realtime-publisher", daemon=True
        ).start()
        # Runs at the end of this process, also in a child of `multiprocessing`.
        Finalize(None, self.flush, exitpriority=0)

    def _wait(self, result: "Future[str]") -> None:
        """Wait for a single note, or for the oldest one of a long burst."""
        with self._lock:
            now = time.monotonic()
            self._in_a_row = self._in_a_row + 1 if now < self._submitted_at + BURST_SECONDS else 0
            self._submitted_at = now
            is_burst = self._in_a_row >= BURST_NOTES
            self._unanswered.append(result)
            while self._unanswered and self._unanswered[0].done():
                self._unanswered.popleft()
            if is_burst and len(self._unanswered) < UNANSWERED_NOTES:
                return
            awaited = self._unanswered[0] if is_burst else result
        try:
            awaited.result(SEND_SECONDS)
        except TimeoutError:
            self._closed_until = time.monotonic() + BREAKER_SECONDS
        self._submitted_at = time.monotonic()

    # In the loop.

    def _enqueue(self, topic: str, note: Note, result: "Future[str]") -> None:
        self._queue.append(topic, note, partial(self._settle, result))
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish_all())

    def _settle(self, result: "Future[str]", is_sent: bool) -> None:
        if not result.done():
            result.set_result("" if is_sent else self._failure)

    async def _publish_all(self) -> None:
        is_sent = True
        while self._queue:
            topic, batch = self._queue.next_batch()
            is_sent = is_sent and await self._send(topic, [entry.note for entry in batch])
            for entry in batch:
                entry.sent(is_sent)

    async def _send(self, topic: str, notes: list[Note]) -> bool:
        for attempt in (1, 2):  # the first send on a stale connection raises
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    name = await self._known_site()
                    message = envelope(name, topic, "", notes)
                    await self._backend.group_send(group(name, topic), message)
            except Exception as error:
                self._failure = f"The channel layer failed: {error!r}."
                if attempt == 2 or isinstance(error, TimeoutError):
                    break
            else:
                return True
        self._closed_until = time.monotonic() + BREAKER_SECONDS
        return False

    async def _known_site(self) -> str:
        if time.monotonic() < self._site_until:
            return self._site
        if self._site:  # meanwhile other publishers use the known identity
            self._site_until = time.monotonic() + SITE_SECONDS
        try:
            self._site = await asyncio.to_thread(_find_site)
        except Exception:
            if not self._site:
                raise
        self._site_until = time.monotonic() + SITE_SECONDS
        return self._site


def _find_site() -> str:
    # In a separate thread: the caller may be async code, or inside a failed transaction.
    try:
        return site.identity()
    finally:
        connections.close_all()


publisher = Publisher()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=publisher.reset)
