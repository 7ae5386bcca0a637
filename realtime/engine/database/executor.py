"""The bounded executor through which async code reaches the database.

Lanes, so that one slow query never stalls writing, leases or every socket: `write` (one
thread: new messages and changes), `wait` (one: those of locked rooms), `pulse` (one: leases and
presence) and `read`.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from functools import cached_property, partial
from threading import Thread, get_ident, local
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import Error, OperationalError, connections

from ...conf import config
from ...logs import get_logger
from ...store.database.alias import database
from ...store.database.primary import on_primary
from ...store.database.servers import servers
from .batch_loader import BatchLoader
from .thread_pool import ThreadPool

__all__ = ["Database"]

logger = get_logger("realtime.database")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
READ_SECONDS = 5.0
STOP_SECONDS = 2.0
ROWS_AT_ONCE = 2
"""How many queries with many rows run: each of their threads takes turns with the event loop."""
IDLE_SECONDS = 5
"""How long an open connection is trusted without a test."""
HUNG_SECONDS = 20.0
"""How long a job may take before the statement for whose answer it waits is cut off."""
CHECK_SECONDS = 1.0
"""How often jobs are looked at."""


class Database:
    """Runs store functions in threads that keep their connections healthy."""

    def __init__(self) -> None:
        self._threads = config().db_threads
        self._idle = local()
        self._busy: dict[int, tuple[float, list[Any]]] = {}
        """Since when a thread has had its job, and its connections."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_abandoned = False
        self._rows = asyncio.Semaphore(ROWS_AT_ONCE)
        self._pools: dict[str, ThreadPool] = {}
        self._loaders: dict[Callable[..., Any], BatchLoader[Any, Any]] = {}

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a query that others need not wait for.

        Raises `OperationalError` when it takes longer than five seconds.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._run("read", function, *args)
        except TimeoutError:
            raise _too_slow() from None

    async def read_rows(self, function: Callable[..., T], *args: Any) -> T:
        """As `read`, for a query with many rows: a few run at once, the next ones wait.

        To make objects of rows is work for the interpreter, and one thread has it at a time.
        """
        try:
            async with asyncio.timeout(READ_SECONDS), self._rows:
                return await self.read(function, *args)
        except TimeoutError:
            raise _too_slow() from None

    async def load(self, find: Callable[[list[K]], dict[K, T]], key: K) -> T | None:
        """Look something up along with all who ask for the same kind of thing meanwhile.

        While one `find(keys)` runs, the next keys gather; no artificial delay. Returns what was
        found under `key`, None if nothing. Raises as `read` does, and after as long.
        """
        if find not in self._loaders:
            self._loaders[find] = BatchLoader(partial(self.read, find))
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._loaders[find].get(key)
        except TimeoutError:
            raise _too_slow() from None

    async def write_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that waits for a lock, where it is in nobody's way."""
        return await self._run("write" if self.is_sqlite else "blocking", function, *args)

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run something in the one thread that appends messages."""
        return await self._run("write", function, *args)

    async def pulse(self, function: Callable[..., T], *args: Any) -> T:
        """Run something for leases and presence; on SQLite that shares the writing thread."""
        return await self._run("write" if self.is_sqlite else "pulse", function, *args)

    @cached_property
    def is_sqlite(self) -> bool:
        """Whether there is one writer at a time for the whole database.

        Asked once: in the task of a client, Django would make a database wrapper for that task.
        """
        return connections[database()].vendor == "sqlite"

    async def stop(self) -> None:
        """Close every thread's connections and end the threads, but for those that hang."""
        self._cancel_timer()
        pools, self._pools = self._pools, {}
        await asyncio.gather(
            *(asyncio.to_thread(pool.finish, STOP_SECONDS) for pool in pools.values())
        )

    def abandon(self) -> None:
        """As `stop`, for a loop that ends: wait here for the jobs that run."""
        pools, self._pools = self._pools, {}
        self._is_abandoned = True
        self._cancel_timer()
        for pool in pools.values():
            pool.finish(STOP_SECONDS)

    async def _run(self, name: str, function: Callable[..., T], *args: Any) -> T:
        if self._is_abandoned:
            raise asyncio.CancelledError  # as everything in this loop
        if self._threads == 0:
            return await sync_to_async(on_primary, thread_sensitive=True)(function, *args)
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(CHECK_SECONDS, self._check_jobs, loop)
        return await loop.run_in_executor(self._pool(name), self._job, function, *args)

    def _check_jobs(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cut connections to a server that froze: the threads of a pool are few."""
        self._timer = loop.call_later(CHECK_SECONDS, self._check_jobs, loop)
        until = time.monotonic() - HUNG_SECONDS
        busy = list(self._busy.items())
        hung = {thread: mine for thread, (since, mine) in busy if since < until}
        if hung:
            # Not here: what the pool does may take long.
            Thread(target=_cut, args=(hung,), name="realtime-cut", daemon=True).start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pool(self, name: str) -> ThreadPool:
        if name not in self._pools:
            size = self._threads if name == "read" else 1
            self._pools[name] = ThreadPool(size, f"realtime-{name}", connections.close_all)
        return self._pools[name]

    def _job(self, function: Callable[..., T], *args: Any) -> T:
        self._busy[get_ident()] = time.monotonic(), list(connections.all())
        try:
            for connection in connections.all(initialized_only=True):
                servers.inspect(connection, is_tested=self._is_tested(connection))
            return on_primary(function, *args)
        except Error as error:
            for connection in connections.all(initialized_only=True):
                servers.handle_error(connection, error)
            raise
        finally:
            self._busy.pop(get_ident(), None)
            self._idle.since = time.monotonic()
            for connection in connections.all(initialized_only=True):
                servers.inspect(connection)
                if _is_pooled(connection):
                    connection.close()

    def _is_tested(self, connection: Any) -> bool:
        is_fresh = time.monotonic() - getattr(self._idle, "since", 0.0) <= IDLE_SECONDS
        return is_fresh and not connection.errors_occurred


def _cut(hung: dict[int, list[Any]]) -> None:
    if number := servers.cut(hung):
        logger.warning("%d database threads had no answer for %d s: cut", number, HUNG_SECONDS)


def _is_pooled(connection: Any) -> bool:
    return "pool" in connection.settings_dict.get("OPTIONS", {})


def _too_slow() -> OperationalError:
    return OperationalError(f"no answer within {READ_SECONDS} s")
