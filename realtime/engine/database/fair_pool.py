"""Threads for the code of a site: the owners of jobs take turns, and none has all threads.

A job that hangs cannot be interrupted. Its thread is replaced, so that many owners whose jobs hang
do not take all threads either.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from .thread_pool import Job, ThreadPool, settle

__all__ = ["HUNG_THREADS", "FairPool"]

T = TypeVar("T")
HUNG_THREADS = 16
"""The most threads of a pool that are replaced: each may keep a database connection."""


class FairPool:
    """Executes jobs in `size` threads of a pool, of one owner at most `share` at a time.

    A job that hangs counts as one of its owner until it ends.
    """

    def __init__(self, pool: ThreadPool, size: int, share: int) -> None:
        self._pool = pool
        self._size = size
        self._share = share
        self._lock = Lock()
        self._waiting: dict[Hashable, dict[Future[Any], Job]] = {}
        """The jobs that wait, by owner; the first owner has the next turn."""
        self._running: dict[Future[Any], float] = {}
        """When each job began."""
        self._hung: set[Future[Any]] = set()
        """The jobs whose threads are replaced."""
        self._threads = Counter[Hashable]()
        """How many threads each owner has."""

    def submit(self, owner: Hashable, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run `function` for an owner; return a future with its result or exception.

        A job that is cancelled before it begins does not wait any more.
        """
        future: Future[T] = Future()
        future.add_done_callback(partial(self._end, owner))
        with self._lock:
            job = partial(settle, future, function, *args)
            self._waiting.setdefault(owner, {})[future] = job
            self._start_jobs()
        return future

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for a thread."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def waiting_of(self, owner: Hashable) -> int:
        """Return the number of jobs of one owner that wait for a thread."""
        return len(self._waiting.get(owner, ()))

    def replace_hung(self, seconds: float) -> int:
        """Replace the threads whose job has run for longer; return how many are replaced now."""
        until = time.monotonic() - seconds
        with self._lock:
            late = [future for future, since in self._running.items() if since < until]
            for future in late[: HUNG_THREADS - len(self._hung)]:
                del self._running[future]
                self._hung.add(future)
                self._pool.grow()
            self._start_jobs()
            return len(self._hung)

    def finish(self, seconds: float) -> None:
        """Finish the jobs that wait and end the threads, as `ThreadPool.finish` does."""
        with self._lock:
            waiting = sum(map(len, self._waiting.values()))
            self._size = self._share = len(self._running) + len(self._hung) + waiting
            self._start_jobs()
        self._pool.finish(seconds)

    def _start_jobs(self) -> None:
        while len(self._running) < self._size and (owner := self._next_owner()) is not None:
            jobs = self._waiting.pop(owner)
            future = next(iter(jobs))
            self._running[future] = time.monotonic()
            self._threads[owner] += 1
            self._pool.start(jobs.pop(future))
            if jobs:
                self._waiting[owner] = jobs  # behind the other owners

    def _next_owner(self) -> Hashable | None:
        return next((one for one in self._waiting if self._threads[one] < self._share), None)

    def _end(self, owner: Hashable, future: Future[Any]) -> None:
        """Give the thread of a job to the next one; a job that was cancelled may have had none."""
        with self._lock:
            if future in self._running:
                del self._running[future]
                self._free(owner)
            elif future in self._hung:
                self._hung.remove(future)
                self._pool.shrink()
                self._free(owner)
            else:
                self._forget(owner, future)
            self._start_jobs()

    def _free(self, owner: Hashable) -> None:
        self._threads[owner] -= 1
        if not self._threads[owner]:
            del self._threads[owner]

    def _forget(self, owner: Hashable, future: Future[Any]) -> None:
        del self._waiting[owner][future]
        if not self._waiting[owner]:
            del self._waiting[owner]
