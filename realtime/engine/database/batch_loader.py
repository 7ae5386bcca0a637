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
"""How many are batch for at once, so that the first of a storm do not wait for the last."""
AT_ONCE = 2
"""How many queries run, so that a slow one does not hold up all others."""


class _Request(Generic[V]):
    """What somebody wants to know, and how many still do."""

    __slots__ = ("result", "waiters")

    def __init__(self) -> None:
        self.result: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self.waiters = 0


class BatchLoader(Generic[K, V]):
    """Asks `find(keys)` for many keys at a time; what it raises, all of them get."""

    def __init__(self, find: Callable[[list[K]], Awaitable[dict[K, V]]]) -> None:
        self._find = find
        self._waiting: dict[K, _Request[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = KEYS

    async def get(self, key: K) -> V | None:
        """What is found under a key, None if nothing; batch for after this call, not before."""
        if key not in self._waiting:
            self._waiting[key] = _Request()
        request = self._waiting[key]
        if len(self._tasks) < AT_ONCE:
            # In a context of its own: it is nobody's request.
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
            # At once and not when it is done: who asks in between would wait for nobody.
            self._tasks.discard(asyncio.current_task())

    async def _resolve(self, batch: dict[K, _Request[V]]) -> None:
        try:
            found = await self._find(list(batch))
        except Exception as error:
            # Perhaps it took too long: a hundred slow ones together would never be done.
            self._size = max(1, self._size // 2)
            for request in batch.values():
                request.result.set_exception(error)
                request.result.exception()  # whoever batch may have gone
        except BaseException:
            for request in batch.values():
                request.result.cancel()
            raise
        else:
            for key, request in batch.items():
                request.result.set_result(found.get(key))
            self._size = min(KEYS, self._size * 2)
