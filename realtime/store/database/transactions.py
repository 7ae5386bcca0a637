"""Wait for the transactions of the caller, and open one of the store's own.

Only `transaction.atomic` has a hook for the commit; with autocommit off, there is none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import connections, transaction

from ...logs import get_logger
from .alias import database

__all__ = [
    "LOCK_MS",
    "awaited",
    "can_join_statements",
    "is_in_site_transaction",
    "is_in_transaction",
    "is_open",
    "is_rolled_back",
    "on_commit",
    "open_transaction",
    "own_settings",
    "own_transaction",
    "warn_of_others",
    "will_run",
]

logger = get_logger("realtime.push")

LOCK_MS = 500
"""How long a transaction waits for the lock of a log."""
ROLLED_BACK = ("55P03", "57014", "40P01", "40001")
"""SQLSTATEs after which nothing is stored for certain: a lock or a statement took too long, a
deadlock, a serialization failure."""
# An index scan skips the dead rows of a queue, and a bitmap scan reads them again each time. The
# statistics, those of an empty table, do not show that.
OWN = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SELECT set_config('lock_timeout', '{lock_ms}', true),"
    " set_config('statement_timeout', '3000', true), set_config('enable_seqscan', 'off', true),"
    " set_config('enable_bitmapscan', 'off', true), CASE current_setting('synchronous_commit')"
    " WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END",
)


def is_rolled_back(error: BaseException) -> bool:
    """Return whether PostgreSQL has stored nothing for certain after an error."""
    return getattr(error.__cause__, "sqlstate", None) in ROLLED_BACK


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


def will_run(connection: Any, action: Callable[[], object]) -> bool:
    """Return whether `action` is a hook of the open transaction; a rollback forgets its hooks."""
    # The newest ones first: a transaction that registers many has this one among the last.
    return any(hook[1] == action for hook in reversed(connection.run_on_commit))


@contextmanager
def own_transaction(alias: str, lock_ms: int = LOCK_MS) -> Iterator[None]:
    """Open a transaction in which others see what was committed before their locks were taken.

    Inside a transaction of the caller, such as that of a test case, it changes no setting: it
    would stay changed there.
    """
    settings = own_settings(alias, lock_ms)
    with transaction.atomic(using=alias):
        if settings:
            with connections[alias].cursor() as cursor:
                cursor.execute(";".join(settings))
        yield


def own_settings(alias: str, lock_ms: int) -> list[str]:
    """Return the statements with which `own_transaction` begins, before it is opened."""
    connection = connections[alias]
    is_own = not connection.in_atomic_block and connection.get_autocommit()
    if not is_own or connection.vendor != "postgresql":
        return []
    return [one.format(lock_ms=int(lock_ms)) for one in OWN]


def can_join_statements(alias: str) -> bool:
    """Return whether several statements can be one, which saves a process the way to the server.

    Each has its own result, and sees what was committed before it began.
    """
    connection: Any = connections[alias]
    return (
        connection.vendor == "postgresql"
        and getattr(connection.Database, "__name__", "") == "psycopg"
        and not connection.settings_dict["OPTIONS"].get("server_side_binding")
    )


def is_in_transaction(alias: str) -> bool:
    """Return whether this thread has a transaction open on a database."""
    return connections[alias].in_atomic_block


def is_open(alias: str) -> bool:
    """Return whether what this thread writes is committed later, also with autocommit off."""
    return connections[alias].in_atomic_block or not connections[alias].get_autocommit()


def is_in_site_transaction(alias: str) -> bool:
    """Return whether this thread has a transaction open that is not only the one of a test case."""
    connection: Any = connections[alias]
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    # As Django does for `atomic(durable=True)`.
    return not all(block._from_testcase for block in connection.atomic_blocks)


def open_transaction() -> str | None:
    """Return a database on which this thread or task has a transaction open, or None.

    The transaction of a test case does not count. No connection is opened to find this out.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and is_in_site_transaction(connection.alias):
            return connection.alias
    return None


def awaited(using: str | None) -> set[str]:
    """Return the databases whose transactions a push waits for: the package's, and `using`.

    Without `using`, it warns once of a transaction of another database.
    """
    ours = database()
    if using is None:
        warn_of_others(ours)
    return {ours, using or ours}


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
