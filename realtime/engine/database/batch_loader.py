"""Merge concurrent queries of the same kind into one (batch loader, data loader).

While one batch is loaded, the keys of the next batch are collected.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

__all__ = ["BatchLoader"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
KEYS = 100
"""The most keys of a query: the first requests of a storm need not wait for the last."""
AT_ONCE = 2
"""The queries that may run at once, so that a slow one does not block all others."""


class _Request(Generic[V]):
    """The future result of one key, and the number of callers that wait for it."""

    __slots__ = ("result", "waiters")

    def __init__(self) -> None:
        self.result: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self.waiters = 0


class BatchLoader(Generic[K, V]):
    """Calls `find(keys)` for at most `most` keys at a time; each caller gets what it raises."""

    def __init__(
        self, find: Callable[[list[K]], Awaitable[dict[K, V]]], *, most: int | None = None
    ) -> None:
        self._find = find
        self._most = most or KEYS
        self._waiting: dict[K, _Request[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = self._most

    @property
    def waiting(self) -> int:
        """The number of keys whose query has not begun."""
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        """Return whether the query of a key waits, so that another caller adds none."""
        return key in self._waiting

    async def get(self, key: K) -> V | None:
        """Return what is found under a key, or None; the query starts after this call."""
        if key not in self._waiting:
            self._waiting[key] = _Request()
        request = self._waiting[key]
        if len(self._tasks) < AT_ONCE:
            # In an empty context, because it belongs to no request.
            task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        request.waiters += 1
        try:
            return await asyncio.shield(request.result)
        finally:
            request.waiters -= 1

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._size]}
                batch = {key: request for key, request in batch.items() if request.waiters}
                if batch:
                    await self._resolve(batch)
        finally:
            # Not by a callback of the task: a request in between would wait for a finished task.
            self._tasks.discard(asyncio.current_task())

    async def _resolve(self, batch: dict[K, _Request[V]]) -> None:
        try:
            found = await self._find(list(batch))
        except Exception as error:
            # Perhaps the query took too long: a hundred slow keys at once would never finish.
            self._size = max(1, self._size // 2)
            for request in batch.values():
                request.result.set_exception(error)
                request.result.exception()  # marks it as retrieved: all callers may have gone
        except BaseException:
            for request in batch.values():
                request.result.cancel()
            raise
        else:
            for key, request in batch.items():
                request.result.set_result(found.get(key))
            self._size = min(self._most, self._size * 2)
