"""A worker's side of its supervision: it reports how far it is, and ends when it is told to.

The channel to the supervisor is a socket. The supervisor's end closes with it, however it ends. So
no worker serves without a supervisor.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

__all__ = ["ALIVE", "DRAIN", "READY", "RUNNING", "STOP", "Server", "Supervised"]

logger = logging.getLogger("realtime.serve")

RUNNING, READY, ALIVE = b"running", b"ready", b"alive"
"""The reports of a worker: it accepts connections; it can also store messages; its loop turns."""
DRAIN, STOP = b"drain", b"stop"
"""The orders to a worker: to drain within some seconds, or to end now."""
ALIVE_SECONDS = 5.0
READY_SECONDS = 0.25
"""The pause between two checks whether the worker can store messages."""
REQUEST_SECONDS = 10.0
"""The longest wait for pages that are being made, at the end of a drain."""
ORPHAN_SECONDS = 15.0
"""The longest time from the end of the supervisor to that of its workers."""


class Server(Protocol):
    """The server of a worker."""

    def stop_accepting(self) -> None:
        """Close this process's share of the listening socket; it may be called again."""

    def is_busy(self) -> bool:
        """Whether a page is being made that the end of the server would cut off."""


class Supervised:
    """Reports to the supervisor, and obeys it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of the server, once it runs."""
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self) -> None:
        """Begin to listen to the supervisor, in a thread: the loop may hang, or not run yet."""
        threading.Thread(target=self._watch, name="supervision", daemon=True).start()

    def run(self, server: Server) -> None:
        """Report that the server runs, and later that it is ready; called in its loop."""
        self._server, self._loop = server, asyncio.get_running_loop()
        self._report(RUNNING)
        self._beat()
        self._share_numbers()
        self._start(self._become_ready(server))

    async def _become_ready(self, server: Server) -> None:
        from ..engine.engine import Engine
        from ..engine.health import takes_writes

        try:
            engine = await Engine.current()
        except Exception:
            logger.exception("this worker cannot start, and ends")
            _end()
            return
        engine.stop_accepting = server.stop_accepting
        while not await takes_writes(engine):
            await asyncio.sleep(READY_SECONDS)
        self._report(READY)

    def _share_numbers(self) -> None:
        from ..worker_numbers import share

        share(asyncio.get_running_loop())

    def _beat(self) -> None:
        self._report(ALIVE)
        asyncio.get_running_loop().call_later(ALIVE_SECONDS, self._beat)

    def _report(self, what: bytes) -> None:
        with suppress(OSError):  # the supervisor is gone, or reads nothing for a long time
            self._channel.send(what + b"\n", socket.MSG_DONTWAIT)

    # What the supervisor says, in the thread.

    def _watch(self) -> None:
        with suppress(OSError), self._channel.makefile("rb") as orders:
            for order in orders:
                self._obey(*order.split())
        self._obey(STOP)
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    def _obey(self, order: bytes, seconds: bytes = b"0") -> None:
        if self._loop is None or self._server is None:  # it serves nobody yet
            _end()
        elif order == DRAIN:
            drain = self._drain(self._server, float(seconds))
            self._loop.call_soon_threadsafe(self._start, drain)
        else:
            self._loop.call_soon_threadsafe(self._server.stop_accepting)
            self._loop.call_soon_threadsafe(_end)

    async def _drain(self, server: Server, seconds: float) -> None:
        from ..engine.engine import Engine

        server.stop_accepting()
        engine = Engine.here()
        if engine is not None:
            await engine.drain(seconds)
        deadline = time.monotonic() + REQUEST_SECONDS
        while server.is_busy() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        _end()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _end() -> None:
    """Begin the graceful shutdown, as any signal would."""
    os.kill(os.getpid(), signal.SIGTERM)
