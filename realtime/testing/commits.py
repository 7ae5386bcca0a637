"""Run what waits for a commit, inside the transaction of a `TestCase`, which never commits."""

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

from ..logs import get_logger

__all__ = ["committing", "run_committed"]

logger = get_logger("realtime.testing")

T = TypeVar("T")
Waiting = dict[str, int]
"""The number of callbacks that waited for a commit, by the alias of the database."""


class committing:  # noqa: N801 - read as a function
    """Run at the end of a block what its code has left to `transaction.on_commit`.

    It is needed only where a test runs in a transaction: in a `TestCase`, and with `django_db` of
    pytest-django. An `async with` does the same in an async test, where Django's
    `captureOnCommitCallbacks` would look at the connection of another thread.
    """

    def __enter__(self) -> None:
        self._before = _waiting()

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            _run(self._before)

    async def __aenter__(self) -> None:
        self._before = await sync_to_async(_waiting)()

    async def __aexit__(self, kind: object, *error: object) -> None:
        if kind is None:
            await sync_to_async(_run)(self._before)


def run_committed(function: Callable[..., T], *args: Any) -> T:
    """Call a function; then run what it left to `on_commit`, as outside of the test's transaction.

    The engine never begins its work inside a transaction, so its own commits are real ones on a
    server.
    """
    before = _waiting()
    try:
        return function(*args)
    finally:
        _run(before)


def _waiting() -> Waiting:
    return {
        connection.alias: len(connection.run_on_commit)
        for connection in connections.all(initialized_only=True)
    }


def _run(before: Waiting) -> None:
    for connection in connections.all(initialized_only=True):
        start = before.get(connection.alias, 0)
        while len(connection.run_on_commit) > start:
            entry: Any = connection.run_on_commit.pop(start)
            _, callback, is_robust = entry
            try:
                callback()
            except Exception:
                if not is_robust:
                    raise
                logger.exception("an on_commit callback failed")
