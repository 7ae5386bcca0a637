"""The life of a log: the cluster, timeline and database that its last writer saw.

A standby that lacks the last commits, a restored dump and a copy number their next entries from an
earlier position on, in an epoch that clients know. Their life differs, so their first writer
begins a new epoch. `pg_control_checkpoint()` would still show the old timeline after a promotion.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db import NotSupportedError, ProgrammingError, connections, transaction
from django.db.models.expressions import RawSQL

from ...logs import get_logger
from ...models import Log
from ...models.rooms import new_epoch

__all__ = ["Life", "current", "expression", "renew"]

logger = get_logger("realtime.log")

LIFE: Final = """(
    SELECT system_identifier || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ':' || (
        SELECT oid FROM pg_database WHERE datname = current_database()
    ) FROM pg_control_system()
)"""
UNKNOWN: Final = "''"
_readable: dict[str, bool] = {}
"""Whether the role of an alias may read the life."""


class Life(NamedTuple):
    """The life in the row of a log, and that of its database now; empty if it is unknown."""

    log_id: int
    stored: str
    current: str


def expression(alias: str) -> str:
    """Return SQL for the current life of a database: `''` where it cannot be read."""
    if connections[alias].vendor != "postgresql":
        return UNKNOWN
    if alias not in _readable:
        _readable[alias] = _is_readable(alias)
    return LIFE if _readable[alias] else UNKNOWN


def current(alias: str) -> Any:
    """Return the current life as a value for a new row, or for an update."""
    return RawSQL(expression(alias), ())  # noqa: S611 - a constant


def renew(alias: str, lives: Iterable[Life]) -> dict[int, str]:
    """Begin a new epoch of each locked log that has another life; return the epochs by log.

    A log without a life gets the current one and keeps its epoch: it was created by a process of
    the last release, or while the life could not be read. No known life becomes unknown.
    """
    epochs = {}
    for life in lives:
        if life.current in ("", life.stored):
            continue
        changes = {"life": life.current}
        if life.stored:
            changes["epoch"] = epochs[life.log_id] = new_epoch()
            logger.warning("log %s: its database has failed over or was restored", life.log_id)
        Log.objects.using(alias).filter(pk=life.log_id).update(**changes)
    return epochs


def _is_readable(alias: str) -> bool:
    # The role may lack the permission, and compatible servers may lack the functions.
    try:
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT {LIFE}")
    except (ProgrammingError, NotSupportedError):
        return False
    return True
