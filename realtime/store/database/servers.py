"""Find and close connections to database servers that cannot take writes.

A connection that answers may still be useless: after a failover the old primary stays up, but
read-only. So errors and the server's own status decide, not whether it answers.
"""

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.db import Error, InterfaceError, OperationalError, connections
from django.db.backends.signals import connection_created

from .alias import database
from .primary import on_primary

__all__ = ["Servers", "is_fault", "is_temporary", "is_writable", "on_working_server", "servers"]

P = ParamSpec("P")
T = TypeVar("T")
LEAVE_SECONDS = 1.0
"""How often the connections of a process are replaced while no better server is there."""
FAULTS = ("08", "58", "25006", "53100", "57P")
"""SQLSTATEs of the server, not of a statement: lost connections, system errors, a read-only
server or a standby, a full disk, and a server that stops or starts."""
SQLITE_FAULTS = ("SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_NOTADB")
ACTIVE = 1
"""The transaction status of a connection whose server has yet to answer a statement."""
READ_ONLY = ("in_hot_standby", "default_transaction_read_only")
"""Status that PostgreSQL 14 and newer reports without a query."""


def is_fault(error: BaseException) -> bool:
    """Return whether the server caused an error, so that another may execute the statement."""
    name = getattr(error.__cause__ or error, "sqlite_errorname", "")
    return _state_of(error).startswith(FAULTS) or name.startswith(SQLITE_FAULTS)


def is_temporary(error: BaseException) -> bool:
    """Return whether the same work may succeed later: a lost connection, a lock, a failover."""
    return isinstance(error, (OperationalError, InterfaceError)) or is_fault(error)


def is_writable(alias: str) -> bool:
    """Query whether the server takes writes; raises what the database raises."""
    with connections[alias].cursor() as cursor:
        if connections[alias].vendor != "postgresql":
            cursor.execute("SELECT 1")
            return True
        cursor.execute("SELECT current_setting('transaction_read_only')")  # "on" also on a standby
        return bool(cursor.fetchone()[0] == "off")


class Servers:
    """Closes connections to servers that cannot do our work, in all threads of the process.

    A connection is left, never repaired: its replacement may lead to another server.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._rounds: Counter[str] = Counter()
        self._left_at: dict[str, float] = {}
        self._born: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        """The round in which a thread's connection was opened."""

    def note(self, connection: Any, **_: Any) -> None:
        """Record the round in which a thread has opened a connection."""
        self._born[connection] = self._rounds[connection.alias]

    def inspect(self, connection: Any, *, is_tested: bool = True) -> None:
        """Close a connection if it leads to a server that cannot do our work.

        Call it before and after use: a pool lends a connection only on first use, and the server
        reports its status with an answer. With `is_tested` false, also test whether the server
        answers. If every server is read-only, keep a connection for a second: reading still works.
        """
        if connection.connection is None or connection.in_atomic_block:
            return
        if not is_tested:
            connection.errors_occurred = False
            if not connection.is_usable():
                self.leave(connection)
                return
        if self._born.get(connection, 0) < self._rounds[connection.alias]:
            _close(connection)
        elif self._is_due(connection.alias) and _is_read_only(connection, may_query=not is_tested):
            self.leave(connection)

    def handle_error(self, connection: Any, error: BaseException) -> None:
        """Leave the server of a connection if an error shows that the server is at fault."""
        if is_fault(error) or _is_lost(connection, error):
            self.leave(connection)

    def leave(self, connection: Any) -> None:
        """Close this connection now, and those of other threads and the pool before their next use.

        The others are closed at most once a second, so that errors cause no reconnection storm.
        """
        is_new = self._begin_round(connection.alias)
        if not connection.in_atomic_block:
            _close(connection)
        if is_new:
            _drain(connection)

    def cut(self, waiting: Mapping[int, Sequence[Any]]) -> int:
        """Shut down the sockets of threads that hang in a query; return the number of threads.

        `waiting` has the connections of each thread, by its identifier. Call it in another thread:
        the waiting ones get an error. The kernel of a frozen server still acknowledges packets, so
        no timeout of the network would end the wait.
        """
        number = 0
        for thread, theirs in waiting.items():
            mine = [one for one in theirs if one.vendor == "postgresql"]
            if sum(_shut(raw) for raw in _waited_for(thread, mine)):
                number += 1
                self._leave_all(mine)
        return number

    def _leave_all(self, found: Sequence[Any]) -> None:
        for one in found:
            if self._begin_round(one.alias):
                _drain(one)

    def _begin_round(self, alias: str) -> bool:
        with self._lock:
            is_due = self._is_due(alias)
            if is_due:
                self._left_at[alias] = time.monotonic()
                self._rounds[alias] += 1
        return is_due

    def _is_due(self, alias: str) -> bool:
        return time.monotonic() - self._left_at.get(alias, float("-inf")) >= LEAVE_SECONDS


servers = Servers()
connection_created.connect(servers.note, dispatch_uid="realtime.server")


def on_working_server(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a synchronous function so that it uses a connection to a working primary.

    All its reads go there, not to a replica that may lag. Inside a caller's transaction the
    connection is kept, and replaced after the transaction.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _inspected():
            return on_primary(function, *args, **kwargs)

    return run


@contextmanager
def _inspected() -> Iterator[None]:
    connection = connections[database()]
    servers.inspect(connection)
    try:
        yield
    except Error as error:
        servers.handle_error(connection, error)
        raise
    servers.inspect(connection)


def _close(connection: Any) -> None:
    if _pool(connection) is not None:
        with suppress(Exception):  # otherwise the pool would lend it to the next thread
            connection.connection.close()
    with suppress(Error):
        connection.close()


def _drain(connection: Any) -> None:
    if (pool := _pool(connection)) is not None:
        # Older versions of psycopg_pool only replace connections that do not answer.
        getattr(pool, "drain", pool.check)()


def _waited_for(thread: int, mine: Sequence[Any]) -> list[Any]:
    """Return the connections of a thread, and one that its pool is testing before lending it."""
    found = [one.connection for one in mine if one.connection is not None]
    psycopg = sys.modules.get("psycopg")
    frame = sys._current_frames().get(thread) if psycopg else None
    while psycopg and frame is not None:
        # By type: `isinstance` would make a lazy object query the database.
        values = frame.f_locals.values()
        found += [one for one in values if issubclass(type(one), psycopg.Connection)]
        frame = frame.f_back
    return found


def _shut(raw: Any) -> bool:
    """Shut down the socket of a connection that waits for its server."""
    with suppress(Exception), socket.socket(fileno=os.dup(raw.fileno())) as line:
        # Check after duplicating: before, the descriptor could already belong to another file.
        if not raw.closed and raw.info.transaction_status == ACTIVE:
            line.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _pool(connection: Any) -> Any:
    return getattr(connection, "pool", None)


def _state_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if the server sent none."""
    cause = error.__cause__ or error
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""


def _is_lost(connection: Any, error: BaseException) -> bool:
    if connection.connection is None or connection.vendor == "sqlite":
        return False
    if getattr(connection.connection, "closed", False):
        return True
    is_unknown = isinstance(error, (InterfaceError, OperationalError)) and not _state_of(error)
    return is_unknown and not connection.in_atomic_block and not connection.is_usable()


def _is_read_only(connection: Any, *, may_query: bool) -> bool:
    """Return whether the server reports read-only; a proxy may hide the report, then query it."""
    if connection.vendor != "postgresql":
        return False
    with suppress(Error, AttributeError):
        reported = [connection.connection.info.parameter_status(name) for name in READ_ONLY]
        if "on" in reported:
            return True
        return may_query and None in reported and not is_writable(connection.alias)
    return False
