"""Finds and closes connections to database servers that cannot take writes.

A connection that answers may still be useless: after a failover the old primary stays up, but
read-only. Errors and what the server reports about itself decide, not whether it answers.
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

__all__ = ["Servers", "is_fault", "is_writable", "on_working_server", "servers"]

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
"""What PostgreSQL 14 and newer reports of itself without being asked."""


def is_fault(error: BaseException) -> bool:
    """Whether an error is the server's: another server may execute the same statement."""
    name = getattr(error.__cause__ or error, "sqlite_errorname", "")
    return _state_of(error).startswith(FAULTS) or name.startswith(SQLITE_FAULTS)


def is_writable(alias: str) -> bool:
    """Ask the server whether it takes writes; raises what the database raises."""
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
        """Remember that a thread has opened a connection."""
        self._born[connection] = self._rounds[connection.alias]

    def inspect(self, connection: Any, *, is_tested: bool = True) -> None:
        """Close a connection if it leads to a server that cannot do our work.

        Before its use, and afterwards, when the server has had a chance to report: a pool gives a
        connection only then. One that is not `is_tested` is also asked whether it answers. Where
        every server is read-only, a connection is kept for a second: reading still works.
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
        elif self._is_due(connection.alias) and _is_read_only(connection, may_ask=not is_tested):
            self.leave(connection)

    def hear(self, connection: Any, error: BaseException) -> None:
        """Leave the server of a connection if an error says that this server is at fault."""
        if is_fault(error) or _is_lost(connection, error):
            self.leave(connection)

    def leave(self, connection: Any) -> None:
        """Close this connection now, and those of other threads and of the pool before their use.

        The others are closed at most once a second, so that errors cause no storm of connections.
        """
        is_new = self._begin_round(connection.alias)
        if not connection.in_atomic_block:
            _close(connection)
        if is_new:
            _drain(connection)

    def cut(self, waiting: Mapping[int, Sequence[Any]]) -> int:
        """Cut what threads wait for in vain, and leave its server; return how many waited.

        `waiting` has the connections of each thread, by its identifier. Call it in another one:
        those that wait get an error. A server that froze acknowledges packets, so no timeout of
        the network would end the wait.
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
    """Have a function of synchronous code use a connection to a server that can do its work.

    It reads from that one only, and from no replica that may lag. Inside a caller's transaction
    the connection stays; the next one is a new one.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _heard():
            return on_primary(function, *args, **kwargs)

    return run


@contextmanager
def _heard() -> Iterator[None]:
    connection = connections[database()]
    servers.inspect(connection)
    try:
        yield
    except Error as error:
        servers.hear(connection, error)
        raise
    servers.inspect(connection)


def _close(connection: Any) -> None:
    if _pool(connection) is not None:
        with suppress(Exception):  # else the pool would give it to the next thread
            connection.connection.close()
    with suppress(Error):
        connection.close()


def _drain(connection: Any) -> None:
    if (pool := _pool(connection)) is not None:
        # Older versions of psycopg_pool only replace connections that do not answer.
        getattr(pool, "drain", pool.check)()


def _waited_for(thread: int, mine: Sequence[Any]) -> list[Any]:
    """The connections that a thread has, and one that its pool tests before it lends it."""
    found = [one.connection for one in mine if one.connection is not None]
    psycopg = sys.modules.get("psycopg")
    frame = sys._current_frames().get(thread) if psycopg else None
    while psycopg and frame is not None:
        # By type, as `isinstance` would have a lazy object ask the database.
        values = frame.f_locals.values()
        found += [one for one in values if issubclass(type(one), psycopg.Connection)]
        frame = frame.f_back
    return found


def _shut(raw: Any) -> bool:
    """End the line of a connection that waits for its server."""
    with suppress(Exception), socket.socket(fileno=os.dup(raw.fileno())) as line:
        # Asked after the copy was made: otherwise the number may be another file's by now.
        if not raw.closed and raw.info.transaction_status == ACTIVE:
            line.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _pool(connection: Any) -> Any:
    return getattr(connection, "pool", None)


def _state_of(error: BaseException) -> str:
    """The SQLSTATE of an error; empty where the server did not give one."""
    cause = error.__cause__ or error
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""


def _is_lost(connection: Any, error: BaseException) -> bool:
    if connection.connection is None or connection.vendor == "sqlite":
        return False
    if getattr(connection.connection, "closed", False):
        return True
    is_unknown = isinstance(error, (InterfaceError, OperationalError)) and not _state_of(error)
    return is_unknown and not connection.in_atomic_block and not connection.is_usable()


def _is_read_only(connection: Any, *, may_ask: bool) -> bool:
    """What the server reports of itself, else its answer; a proxy may keep the report back."""
    if connection.vendor != "postgresql":
        return False
    with suppress(Error, AttributeError):
        told = [connection.connection.info.parameter_status(name) for name in READ_ONLY]
        return "on" in told or (may_ask and None in told and not is_writable(connection.alias))
    return False
