"""Publish notes from a process that serves no sockets: a worker, a command, a WSGI server."""

import asyncio
import os
import threading
import time
from typing import Any

from django.db import connections

from ...store.database import site
from .layer import BREAKER_SECONDS, SEND_SECONDS, envelope, group, make_backend
from .notes import Note

__all__ = ["LayerUnavailable", "Publisher", "publisher"]

SITE_SECONDS = 5.0
"""The site identity is read again after this time."""


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
        self._closed_until = 0.0
        self._site = ""
        self._site_until = 0.0

    def publish(self, topic: str, note: Note) -> None:
        """Publish a note, and wait at most two seconds for the layer.

        Raises `LayerUnavailable` if the layer did not accept the note, or if there is no shared
        layer and other processes may serve sockets.
        """
        if time.monotonic() < self._closed_until:
            raise LayerUnavailable("The channel layer does not answer.")
        try:
            with self._lock:
                self._start()
        except Exception as error:
            raise LayerUnavailable(f"The channel layer cannot be made: {error!r}.") from error
        if self._backend is None or self._loop is None:
            if self.is_server:  # this is the only process, and it has no connections yet
                return
            raise LayerUnavailable("There is no channel layer that server processes share.")
        sending = asyncio.run_coroutine_threadsafe(self._send(topic, note), self._loop)
        try:
            sending.result(SEND_SECONDS)
        except Exception as error:
            sending.cancel()
            self._closed_until = time.monotonic() + BREAKER_SECONDS
            raise LayerUnavailable(f"The channel layer failed: {error!r}.") from error

    @property
    def is_shared(self) -> bool:
        """Whether processes share a channel layer; known after the first `publish`."""
        return self._backend is not None

    def reset(self) -> None:
        """Start again in a forked child, where the thread of the parent does not run."""
        self.__init__()  # type: ignore[misc]

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

    async def _send(self, topic: str, note: Note) -> None:
        for attempt in (1, 2):  # the first send on a stale connection raises
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    name = await self._known_site()
                    message = envelope(name, topic, "", [note])
                    await self._backend.group_send(group(name, topic), message)
            except Exception:
                if attempt == 2:
                    raise
            else:
                return

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
