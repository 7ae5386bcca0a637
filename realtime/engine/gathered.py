"""One query for many who ask at the same time: while one runs, the next questions gather."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Gathered"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
KEYS = 100
"""How many are asked for at once, so that the first of a storm do not wait for the last."""


class Gathered(Generic[K, V]):
    """Asks `find(keys)` for many keys at a time; what it raises, all of them get."""

    def __init__(self, find: Callable[[list[K]], Awaitable[dict[K, V]]]) -> None:
        self._find = find
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """What is found under a key, None if nothing; asked for after this call, not before."""
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        future = self._waiting[key]
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:KEYS]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._task = None

    async def _answer(self, asked: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._find(list(asked))
        except BaseException as error:
            for future in asked.values():
                _fail(future, error)
            if not isinstance(error, Exception):
                raise
        else:
            for key, future in asked.items():
                if not future.done():
                    future.set_result(found.get(key))


def _fail(future: asyncio.Future[V], error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif not future.done():
        future.set_exception(error)
        future.exception()  # whoever asked may have gone
