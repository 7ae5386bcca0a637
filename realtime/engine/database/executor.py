"""The bounded executor through which async code reaches the database.

It has several pools of threads, so that one slow query never blocks writing, leases or all sockets:
`write` (one thread: new messages and changes), `blocking` (one: writes that may wait for a lock),
`pulse` (one: leases and presence) and `read`. The code of the site may be slow or hang, so it has
threads of its own: `call` for the handlers of commands, `hook` for hooks, and `ask` for
permissions. Slow handlers must not delay the answer that a user may no longer subscribe. One user,
or one topic class, has at most half of these threads, and those that hang are replaced.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import cached_property, partial
from threading import Thread, get_ident, local
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import Error, OperationalError, connections
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...logs import get_logger
from ...store.database.alias import database
from ...store.database.primary import on_primary
from ...store.database.servers import servers
from ...wire.errors import CommandError, ErrorCode
from .batch_loader import BatchLoader
from .fair_pool import FairPool
from .thread_pool import ThreadPool, settle

__all__ = ["ASK_THREADS", "Database", "hook_threads"]

logger = get_logger("realtime.database")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Query = tuple[Callable[..., Any], tuple[Any, ...]]
READ_SECONDS = 5.0
ASK_THREADS = 4
"""The threads that ask the site for permissions; each topic class has at most half of them."""
CALLS_WAITING, OWN_CALLS_WAITING = 100, 25
"""The most calls that may wait for a thread: of all users, and of one."""
STOP_SECONDS = 2.0
ROWS_WAITING = 500
"""The most different queries with many rows that may wait for their turn."""
IDLE_SECONDS = 5
"""An open connection that was idle for longer is tested before its use."""
REPLACE_SECONDS = 5.0
"""A thread for the code of the site whose job has run for so long is replaced."""
HUNG_SECONDS = 20.0
"""The longest time of a job, before the connection that it waits for is closed."""
CHECK_SECONDS = 1.0
"""The pause between two checks of running jobs."""
REPLACED = "%d threads for %r are replaced: code of the site has run in them for over %d s"
CROWDED = _("The server has too many calls to execute. Try again in a moment.")


def hook_threads(call_threads: int) -> int:
    """Return the number of threads for hooks: as for calls, and one beside a slow hook."""
    return max(2, call_threads)


class Database:
    """Runs store functions in threads that keep their connections healthy."""

    def __init__(self) -> None:
        self._threads = config().db_threads
        calls = config().call_threads
        self._sizes = {"call": calls, "hook": hook_threads(calls), "ask": ASK_THREADS}
        """The number of threads of each pool for the code of the site."""
        self._idle = local()
        self._busy: dict[int, tuple[float, list[Any]]] = {}
        """For each thread, when its job began, and its connections."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_abandoned = False
        self._rows = BatchLoader(self._read_rows, most=1)
        self._pools: dict[str, ThreadPool] = {}
        self._fair_pools: dict[str, FairPool] = {}
        self._loaders: dict[Callable[..., Any], BatchLoader[Any, Any]] = {}
        self._shared_calls: set[asyncio.Task[None]] = set()

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a query in one of the reading threads.

        Raises `OperationalError` if it takes longer than five seconds.
        """
        return await self._run_in_time("read", function, *args)

    async def read_rows(self, function: Callable[..., T], *args: Any) -> T:
        """Run a query with many rows, as `read` does; only two run at once, the others wait.

        Making objects from rows is work for the interpreter, which runs one thread at a time. Calls
        that wait with equal arguments share one query and its result, which nobody may change.
        Raises `CommandError` with `unavailable` if too many others wait, and none is equal.
        """
        query: Query = (function, args)
        if self._rows.waiting >= ROWS_WAITING and query not in self._rows:
            raise CommandError(ErrorCode.UNAVAILABLE, CROWDED, retry_after=1)
        try:
            async with asyncio.timeout(READ_SECONDS):
                found: Any = await self._rows.get(query)
        except TimeoutError:
            raise _too_slow() from None
        return found  # type: ignore[no-any-return]

    async def load(self, find: Callable[[list[K]], dict[K, T]], key: K) -> T | None:
        """Look up a key in one query with concurrent look-ups of the same kind.

        While one `find(keys)` runs, the next keys gather, without an artificial delay. Returns what
        was found under `key`, or None. Raises what `read` raises, and after the same time.
        """
        return await self._load("read", find, key)

    async def ask(self, find: Callable[[list[K]], dict[K, T]], key: K) -> T | None:
        """Look up a key as `load` does, by a function of the site, in the threads for permissions.

        Raises what `load` raises, and any exception of that function.
        """
        return await self._load("ask", find, key)

    def call(self, function: Callable[..., T], *args: Any, owner: Hashable) -> Future[T]:
        """Run a function of the site in one of the threads for calls; return its future.

        The future can be cancelled until the function begins. A thread that has begun cannot be
        interrupted, so it counts as one of its owner until it ends. One owner has at most half of
        the threads. A thread that takes long is replaced for the other owners.
        Raises `CommandError` with `unavailable` if too many calls wait.
        """
        return self._submit("call", owner, function, *args)

    def hook(self, function: Callable[..., T], *args: Any, owner: Hashable) -> Future[T]:
        """Run a hook of the site in one of the threads for hooks, as `call` does."""
        return self._submit("hook", owner, function, *args)

    async def write_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run a write that may wait for a lock, in a separate thread that delays no message."""
        return await self._run("write" if self.is_sqlite else "blocking", function, *args)

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the one thread that appends messages."""
        return await self._run("write", function, *args)

    async def pulse(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function for leases or presence; on SQLite, in the writing thread."""
        return await self._run("write" if self.is_sqlite else "pulse", function, *args)

    @cached_property
    def is_sqlite(self) -> bool:
        """Whether the whole database has one writer at a time.

        Read only once: in the task of a client, Django would make a database wrapper for that task.
        """
        return connections[database()].vendor == "sqlite"

    async def stop(self) -> None:
        """Close the connections of all threads and end the threads, except those that hang."""
        self._cancel_timer()
        await asyncio.gather(
            *(asyncio.to_thread(pool.finish, STOP_SECONDS) for pool in self._all_pools())
        )

    def abandon(self) -> None:
        """Stop as `stop` does, in a loop that ends: block until the running jobs are done."""
        self._is_abandoned = True
        self._cancel_timer()
        for pool in self._all_pools():
            pool.finish(STOP_SECONDS)

    async def _run(self, name: str, function: Callable[..., T], *args: Any) -> T:
        self._refuse_if_abandoned()
        if self._threads == 0:
            return await sync_to_async(on_primary, thread_sensitive=True)(function, *args)
        self._check_soon()
        if name in self._sizes:
            job = self._fair_pool(name).submit(function, self._job, function, *args)
            return await asyncio.wrap_future(job)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool(name), self._job, function, *args)

    async def _run_in_time(self, name: str, function: Callable[..., T], *args: Any) -> T:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._run(name, function, *args)
        except TimeoutError:
            raise _too_slow() from None

    async def _read_rows(self, keys: list[Query]) -> dict[Query, Any]:
        [(function, args)] = keys
        return {(function, args): await self.read(function, *args)}

    async def _load(self, name: str, find: Callable[[list[K]], dict[K, T]], key: K) -> T | None:
        if find not in self._loaders:
            self._loaders[find] = BatchLoader(partial(self._run_in_time, name, find))
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._loaders[find].get(key)
        except TimeoutError:
            raise _too_slow() from None

    def _submit(
        self, name: str, owner: Hashable, function: Callable[..., T], *args: Any
    ) -> Future[T]:
        self._refuse_if_abandoned()
        if self._threads == 0:
            return self._call_in_shared_thread(function, *args)
        pool = self._fair_pool(name)
        if pool.waiting >= CALLS_WAITING or pool.waiting_of(owner) >= OWN_CALLS_WAITING:
            raise CommandError(ErrorCode.UNAVAILABLE, CROWDED, retry_after=1)
        self._check_soon()
        return pool.submit(owner, self._job, function, *args)

    def _call_in_shared_thread(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a call as tests need it: in Django's own thread, after what is queued there."""
        future: Future[T] = Future()
        run = sync_to_async(on_primary, thread_sensitive=True)
        task = asyncio.get_running_loop().create_task(run(settle, future, function, *args))
        self._shared_calls.add(task)
        task.add_done_callback(self._shared_calls.discard)
        return future

    def _refuse_if_abandoned(self) -> None:
        if self._is_abandoned:
            raise asyncio.CancelledError  # like everything else in this loop

    def _check_soon(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CHECK_SECONDS, self._check_jobs, loop)

    def _check_jobs(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close connections to a server that froze: a pool has few threads."""
        self._timer = loop.call_later(CHECK_SECONDS, self._check_jobs, loop)
        for name, pool in self._fair_pools.items():
            if number := pool.replace_hung(REPLACE_SECONDS):
                logger.warning(REPLACED, number, name, REPLACE_SECONDS)
        until = time.monotonic() - HUNG_SECONDS
        busy = list(self._busy.items())
        hung = {thread: mine for thread, (since, mine) in busy if since < until}
        if hung:
            # In a thread, because a connection pool may take long to do it.
            Thread(target=_cut, args=(hung,), name="realtime-cut", daemon=True).start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pool(self, name: str) -> ThreadPool:
        if name not in self._pools:
            size = self._threads if name == "read" else 1
            self._pools[name] = self._new_pool(name, size)
        return self._pools[name]

    def _fair_pool(self, name: str) -> FairPool:
        if name not in self._fair_pools:
            size = self._sizes[name]
            pool = self._new_pool(name, size)
            self._fair_pools[name] = FairPool(pool, size, share=max(1, size // 2))
        return self._fair_pools[name]

    def _new_pool(self, name: str, size: int) -> ThreadPool:
        return ThreadPool(size, f"realtime-{name}", connections.close_all)

    def _all_pools(self) -> list[ThreadPool | FairPool]:
        """Return all pools, which are not used any more."""
        pools: list[ThreadPool | FairPool] = [*self._pools.values(), *self._fair_pools.values()]
        self._pools, self._fair_pools = {}, {}
        return pools

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
        logger.warning("%d database threads hung for %d s and were cut", number, HUNG_SECONDS)


def _is_pooled(connection: Any) -> bool:
    return "pool" in connection.settings_dict.get("OPTIONS", {})


def _too_slow() -> OperationalError:
    return OperationalError(f"no answer within {READ_SECONDS} s")
