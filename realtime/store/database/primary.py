"""Read from the primary database, whatever the routers of the site choose for reads.

A replica may lag. Related objects, permissions and content types are read through the routers,
even if the query that loaded their owner named a database.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from django.db import router

__all__ = ["on_primary", "reading_primary"]

P = ParamSpec("P")
T = TypeVar("T")
_is_on: ContextVar[bool] = ContextVar("realtime.primary", default=False)


class _Router:
    """The first router of the site; it only decides inside `reading_primary()`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return router.db_for_write(model, **hints) if _is_on.get() else None

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        # A caller may have read its room or user from a replica.
        return True if _is_on.get() else None


_first = _Router()


@contextmanager
def reading_primary() -> Iterator[None]:
    """Read everything from the primary database inside a `with` block."""
    # Checked each time, because tests of a site replace the list of routers.
    if router.routers and router.routers[0] is not _first:
        router.routers.insert(0, _first)
    token = _is_on.set(True)
    try:
        yield
    finally:
        _is_on.reset(token)


def on_primary(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function so that all its reads go to the primary database."""
    if not router.routers:
        return function(*args, **kwargs)
    with reading_primary():
        return function(*args, **kwargs)
