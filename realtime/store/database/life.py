"""The life of a log: the cluster, timeline and database that its last writer saw.

A standby that lacks the last commits, a restored dump and a copy number their next entries from an
earlier position on, in an epoch that clients know. Their life differs, so their first writer
begins a new epoch. `pg_control_checkpoint()` would still show the old timeline after a promotion.

Where the life cannot be read, a process remembers the ends of the logs to which it has written.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from django.db import (
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.models.expressions import RawSQL

from ...logs import get_logger
from ...models import Log
from ...models.rooms import new_epoch

__all__ = ["Life", "current", "expression", "is_known", "renew"]

logger = get_logger("realtime.log")

LIFE: Final = """(
    SELECT system_identifier || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ':' || (
        SELECT oid FROM pg_database WHERE datname = current_database()
    ) FROM pg_control_system()
)"""
UNKNOWN: Final = "''"
IN_RECOVERY: Final = "55000"
_readable: dict[str, bool] = {}
"""Whether the role of an alias may read the life."""
MOST_ENDS: Final = 10_000
_ends: dict[int, tuple[str, int]] = {}
"""The epochs and ends of logs that this process has locked, by log; only without a life."""


class Life(NamedTuple):
    """The row of a log, and the life of its database now; a life that is unknown is empty."""

    log_id: int
    epoch: str
    last_seq: int
    stored: str
    current: str


def expression(alias: str) -> str:
    """Return SQL for the current life of a database: `''` where it cannot be read."""
    if connections[alias].vendor != "postgresql":
        return UNKNOWN
    if (is_readable := _readable.get(alias)) is None:
        is_readable = _is_readable(alias)
    return LIFE if is_readable else UNKNOWN


def is_known(alias: str) -> bool:
    """Return whether `expression` needs no query."""
    return connections[alias].vendor != "postgresql" or alias in _readable


def current(alias: str) -> Any:
    """Return the current life as a value for a new row, or for an update."""
    return RawSQL(expression(alias), ())  # noqa: S611 - a constant


def renew(alias: str, lives: Iterable[Life]) -> dict[int, str]:
    """Begin a new epoch of each locked log that has another life; return the epochs by log.

    A log without a life gets the current one and keeps its epoch: it was created by a process of
    the last release, or while the life could not be read. No known life becomes unknown. If the
    current life is unknown, a log that ends before a position that this process has seen there
    gets a new epoch.
    """
    epochs: dict[int, str] = {}
    for life in lives:
        if not life.current:
            _compare_end(alias, life, epochs)
        elif life.current != life.stored:
            _adopt(alias, life, epochs)
    return epochs


def _adopt(alias: str, life: Life, epochs: dict[int, str]) -> None:
    if life.stored:
        _renew(alias, life, epochs)
    Log.objects.using(alias).filter(pk=life.log_id).update(life=life.current)


def _compare_end(alias: str, life: Life, epochs: dict[int, str]) -> None:
    epoch, last_seq = _ends.get(life.log_id, ("", 0))
    if epoch == life.epoch and last_seq > life.last_seq:
        epoch = _renew(alias, life, epochs)
    else:
        epoch = life.epoch
    # What is locked again in this transaction may end at a position that is not committed.
    end = partial(_remember, life.log_id, epoch, life.last_seq)
    transaction.on_commit(end, using=alias, robust=True)


def _remember(log_id: int, epoch: str, last_seq: int) -> None:
    if len(_ends) >= MOST_ENDS:
        _ends.clear()
    _ends[log_id] = epoch, last_seq


def _renew(alias: str, life: Life, epochs: dict[int, str]) -> str:
    epoch = epochs[life.log_id] = new_epoch()
    Log.objects.using(alias).filter(pk=life.log_id).update(epoch=epoch)
    logger.warning("log %s: its database has failed over or was restored", life.log_id)
    return epoch


def _is_readable(alias: str) -> bool:
    # The role may lack the permission, and compatible servers may lack the functions.
    try:
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT {LIFE}")
    except (ProgrammingError, NotSupportedError):
        _readable[alias] = False
    except OperationalError as error:
        # A standby has no current position. It refuses the statement that follows as read-only.
        if getattr(error.__cause__, "sqlstate", "") != IN_RECOVERY:
            raise
        return True
    else:
        _readable[alias] = True
    return _readable[alias]
