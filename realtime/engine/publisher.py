"""Publishing from a process that serves no sockets: a worker, a command, a WSGI server."""

import asyncio
import os
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from django.db import connections

from ..logs import get_logger
from ..store import site
from .layer import BREAKER_SECONDS, SEND_SECONDS, Note, envelope, group, make_backend

__all__ = ["LayerUnavailable", "Publisher", "publisher"]

logger = get_logger("realtime.publisher")

SITE_SECONDS = 5.0
"""For how long the site's identity is known before it is read again."""


class LayerUnavailable(Exception):  # noqa: N818 - a state of the site, like Django's Http404
    """This process can reach no other one: it has no shared channel layer."""


class Publisher:
    """One event loop in a thread of its own, and so one kept connection for a whole process."""

    def __init__(self) -> None:
        self.is_server = False
        """Whether sockets of this process would have an engine: without one, there are none."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backend: Any = None
        self._closed_until = 0.0
        self._site = ""
        self._site_until = 0.0

    def publish(self, topic: str, note: Note, *, is_stored: bool = False) -> None:
        """Publish and wait for it at most two seconds; a failing layer is logged.

        Raises `LayerUnavailable` where there is none, unless what is told is stored anyway.
        """
        if time.monotonic() < self._closed_until:
            logger.warning("topic %s: not told, the channel layer is away", topic)
            return
        with self._lock:
            self._start()
        if self._backend is None or self._loop is None:
            if is_stored or self.is_server:
                return
            raise LayerUnavailable("there is no channel layer that other processes share")
        sending = asyncio.run_coroutine_threadsafe(self._send(topic, note), self._loop)
        try:
            sending.result(SEND_SECONDS)
        except FutureTimeoutError:
            sending.cancel()
            self._fail(topic, "no answer")

    def forget(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not run."""
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
            except Exception as error:
                if attempt == 2:
                    self._fail(topic, repr(error))
            else:
                return

    async def _known_site(self) -> str:
        if time.monotonic() < self._site_until:
            return self._site
        if self._site:  # others go on with what was known
            self._site_until = time.monotonic() + SITE_SECONDS
        try:
            self._site = await asyncio.to_thread(_find_site)
        except Exception:
            if not self._site:
                raise
        self._site_until = time.monotonic() + SITE_SECONDS
        return self._site

    def _fail(self, topic: str, why: str) -> None:
        self._closed_until = time.monotonic() + BREAKER_SECONDS
        logger.warning("topic %s: the channel layer failed: %s", topic, why)


def _find_site() -> str:
    # In a thread of its own: the caller may be async code, or inside a failed transaction.
    try:
        return site.identity()
    finally:
        connections.close_all()


publisher = Publisher()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=publisher.forget)
