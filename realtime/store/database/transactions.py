"""Wait for the transactions of the caller.

Only `transaction.atomic` counts: with autocommit off, there is no hook for the commit.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connections, transaction

from ...logs import get_logger
from .alias import database

__all__ = ["is_in_site_transaction", "is_in_transaction", "on_commit", "warn_of_others"]

logger = get_logger("realtime.push")


def on_commit(action: Callable[[], object], *aliases: str) -> None:
    """Call `action` once all open transactions are committed, and not at all after a rollback.

    `aliases` are the databases whose transactions count; the default is the one of this package.
    """
    waiting = {name for name in aliases or (database(),) if is_in_transaction(name)}
    if not waiting:
        action()
    for alias in list(waiting):
        transaction.on_commit(_committed(alias, waiting, action), using=alias, robust=True)


def _committed(alias: str, waiting: set[str], action: Callable[[], object]) -> Callable[[], None]:
    def committed() -> None:
        waiting.discard(alias)
        if not waiting:
            action()

    return committed


def is_in_transaction(alias: str) -> bool:
    """Return whether this thread has a transaction open on a database."""
    return connections[alias].in_atomic_block


def is_in_site_transaction(alias: str) -> bool:
    """Return whether this thread has a transaction open that is not only the one of a test case."""
    connection: Any = connections[alias]
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    # As Django does for `atomic(durable=True)`.
    return not all(block._from_testcase for block in connection.atomic_blocks)


def warn_of_others(ours: str) -> None:
    """Warn once if a transaction is open, but only on another database than the package's."""
    if is_in_transaction(ours):
        return
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            _warn_once(connection.alias, ours)


@cache
def _warn_once(alias: str, ours: str) -> None:
    logger.warning(
        "a push inside a transaction of database %s went out at once, because it waits for "
        "transactions of %s only: pass using=%r to have it wait for both",
        alias,
        ours,
        alias,
    )
