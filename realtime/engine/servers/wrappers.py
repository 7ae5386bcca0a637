"""Find the server's own `send` under the middleware that wraps it.

Middleware may give the application its own `send`: a closure, a method, a partial, or the end of a
queue. The package still needs the transport below it, to see its backpressure.
"""

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ...logs import get_logger

__all__ = ["Wrappers", "locals_of", "name_of"]

logger = get_logger("realtime.transport")

MOST_OBJECTS = 2_000
"""The most objects that are examined for one connection: a few milliseconds at most."""
MOST_MISSES = 3
"""After so many connections without success, a kind of `send` is not examined any more."""
LEAVES, MOST_IN_LEAF = (tuple, list), 4
"""Such an object is skipped if it has at most so many parts, and all parts are opaque."""
OPAQUE = (
    *(str, bytes, int, float, type),
    *(CodeType, Context, ModuleType, asyncio.AbstractEventLoop),
)
"""Types whose objects refer to no `send`, or to everything."""


class Wrappers:
    """Searches below each kind of `send`, until that has failed too often."""

    def __init__(self) -> None:
        self._misses: Counter[str] = Counter()

    def find(self, send: Any, is_wanted: Callable[[Any], bool]) -> Any:
        """Return the wanted object nearest to `send`, or else to the running task, or None."""
        kind = name_of(send)
        if self._misses[kind] >= MOST_MISSES:
            return None
        # In this order: the variables of the whole application are near many other objects.
        for roots in ([send], locals_of(asyncio.current_task())):
            for one in _reachable(roots):
                if is_wanted(one):
                    del self._misses[kind]
                    return one
        self._misses[kind] += 1
        return None


def name_of(send: Any) -> str:
    """Return the name of a `send` for logs: its module and name, or those of its class."""
    if isinstance(send, partial):
        return f"partial of {name_of(send.func)}"
    function = getattr(send, "__func__", send)
    if isinstance(function, FunctionType):  # `functools.wraps` gives it the name of another
        return f"{function.__globals__.get('__name__')}.{function.__code__.co_qualname}"
    owner = type(getattr(send, "__self__", send))
    return f"{owner.__module__}.{owner.__qualname__}"


def _reachable(roots: list[Any]) -> Iterator[Any]:
    """Yield all objects to which the roots refer, the nearest first."""
    seen, waiting = {id(one) for one in roots}, deque(roots)
    while waiting and len(seen) < MOST_OBJECTS:
        one = waiting.popleft()
        yield one
        for next_one in gc.get_referents(one):
            if id(next_one) not in seen and not (_is_opaque(next_one) or _is_leaf(next_one)):
                seen.add(id(next_one))
                waiting.append(next_one)


def _is_opaque(one: Any) -> bool:
    # The globals of a module are a dict with its name.
    return isinstance(one, OPAQUE) or one is None or (type(one) is dict and "__name__" in one)


def _is_leaf(one: Any) -> bool:
    """Return whether an object is like a header, of which a client may send thousands."""
    if type(one) not in LEAVES or len(one) > MOST_IN_LEAF:
        return False
    return all(_is_opaque(part) for part in gc.get_referents(one))


def locals_of(task: "asyncio.Task[Any] | None") -> list[Any]:
    """Return the local variables of all coroutines that a task awaits, the outermost first."""
    coroutine: Any = task.get_coro() if task is not None else None
    found: list[Any] = []
    while coroutine is not None and len(found) < MOST_OBJECTS:
        frame = getattr(coroutine, "cr_frame", None)
        found += frame.f_locals.values() if frame is not None else ()
        coroutine = getattr(coroutine, "cr_await", None)
    return [one for one in found if not _is_opaque(one)]
