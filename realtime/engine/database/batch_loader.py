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
"""How many are asked for at once, so that the first of a storm do not wait for the last."""
AT_ONCE = 2
"""How many queries run, so that a slow one does not hold up all others."""


class _Question(Generic[V]):
    """What somebody wants to know, and how many still do."""

    __slots__ = ("answer", "askers")

    def __init__(self) -> None:
        self.answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self.askers = 0


class BatchLoader(Generic[K, V]):
    """Asks `find(keys)` for many keys at a time; what it raises, all of them get."""

    def __init__(self, find: Callable[[list[K]], Awaitable[dict[K, V]]]) -> None:
        self._find = find
        self._waiting: dict[K, _Question[V]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = KEYS

    async def get(self, key: K) -> V | None:
        """What is found under a key, None if nothing; asked for after this call, not before."""
        if key not in self._waiting:
            self._waiting[key] = _Question()
        question = self._waiting[key]
        if len(self._tasks) < AT_ONCE:
            # In a context of its own: it is nobody's request.
            task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        question.askers += 1
        try:
            return await asyncio.shield(question.answer)
        finally:
            question.askers -= 1

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._size]}
                asked = {key: question for key, question in asked.items() if question.askers}
                if asked:
                    await self._answer(asked)
        finally:
            # At once and not when it is done: who asks in between would wait for nobody.
            self._tasks.discard(asyncio.current_task())

    async def _answer(self, asked: dict[K, _Question[V]]) -> None:
        try:
            found = await self._find(list(asked))
        except Exception as error:
            # Perhaps it took too long: a hundred slow ones together would never be done.
            self._size = max(1, self._size // 2)
            for question in asked.values():
                question.answer.set_exception(error)
                question.answer.exception()  # whoever asked may have gone
        except BaseException:
            for question in asked.values():
                question.answer.cancel()
            raise
        else:
            for key, question in asked.items():
                question.answer.set_result(found.get(key))
            self._size = min(KEYS, self._size * 2)
