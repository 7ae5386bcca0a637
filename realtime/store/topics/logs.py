"""Lock the logs of topics, and make them; `plan.py` moves their ends."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connections
from django.db.models import OuterRef, Subquery

from ...logs import get_logger
from ...models import Entry, Log
from ..database import life
from ..database.transactions import own_transaction

__all__ = ["LockedTopicLog", "lock_logs", "lock_query", "locked", "locked_logs"]

logger = get_logger("realtime.topics")

LOCK = """
    SELECT id, name, last_seq, rights_seq, epoch, last_at, (
        SELECT changed_seq FROM realtime_entry AS entry
        WHERE entry.log_id = log.id ORDER BY changed_seq DESC LIMIT 1
    ), life, {life}
    FROM realtime_head AS log
    WHERE name = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""  # a plain FOR UPDATE blocks the foreign keys of entries
TOUCH = "UPDATE realtime_head SET last_seq = last_seq WHERE name IN ({})"


@dataclass(slots=True)
class LockedTopicLog:
    """The log of a topic while it is locked, with the values that its transaction writes."""

    id: int
    name: str
    last_seq: int
    rights_seq: int
    epoch: str
    last_at: datetime | None


@contextmanager
def locked(
    alias: str,
    names: Collection[str],
    lock_ms: int,
    missing: Callable[[set[str]], Collection[str]],
    *,
    skip_locked: bool = False,
) -> Iterator[dict[str, LockedTopicLog]]:
    """Open a transaction with the locked logs of topics.

    `missing` gets the names without a log, or with a skipped one, and returns those whose log has
    to be made. They are made in the order of their names while nothing is locked, so that no two
    processes deadlock.
    """
    while True:
        with own_transaction(alias, lock_ms):
            logs = lock_logs(alias, names, skip_locked=skip_locked)
            lacking = set(names) - logs.keys()
            made = missing(lacking) if lacking else ()
            if not made:
                yield logs
                return
        _make_logs(alias, made)


def lock_logs(
    alias: str, names: Iterable[str], *, skip_locked: bool = False
) -> dict[str, LockedTopicLog]:
    """Lock those logs of topics that exist until the transaction ends, in the order of their keys.

    With `skip_locked`, logs that another transaction has locked are left out.
    """
    wanted = sorted(set(names))
    match connections[alias].vendor:
        case "postgresql":
            rows = _lock_in_postgres(alias, wanted, skip_locked)
        case vendor:
            if vendor == "sqlite":
                _touch(alias, wanted)
            rows = _lock_by_orm(alias, wanted)
    return locked_logs(alias, rows)


def locked_logs(alias: str, rows: "list[LogFields]") -> dict[str, LockedTopicLog]:
    """Return logs by name from the rows of `LOCK`, with an end and an epoch that hold."""
    logs = {row[1]: _repaired(LockedTopicLog(*row[:6]), row[6]) for row in rows}
    epochs = life.renew(alias, [life.Life(row[0], row[4], row[2], *row[7:]) for row in rows])
    for log in logs.values() if epochs else ():
        log.epoch = epochs.get(log.id, log.epoch)
    return logs


def _make_logs(alias: str, names: Iterable[str]) -> None:
    """Make the logs of topics without one."""
    now = life.current(alias)
    Log.objects.using(alias).bulk_create(
        [Log(name=name, life=now) for name in sorted(names)], ignore_conflicts=True
    )


LogFields = tuple[int, str, int, int, str, datetime | None, int | None, str, str]


def lock_query(alias: str) -> str:
    """Return the statement of PostgreSQL that locks logs; its parameter is their names."""
    return LOCK.format(life=life.expression(alias))


def _lock_in_postgres(alias: str, names: list[str], skip_locked: bool) -> list[LogFields]:
    with connections[alias].cursor() as cursor:
        cursor.execute(lock_query(alias) + (" SKIP LOCKED" if skip_locked else ""), [names])
        return list(cursor.fetchall())


def _touch(alias: str, names: list[str]) -> None:
    # A transaction of SQLite that begins with a read cannot always become a writing one.
    with connections[alias].cursor() as cursor:
        cursor.execute(TOUCH.format(", ".join(["%s"] * len(names))), names)


def _lock_by_orm(alias: str, names: list[str]) -> list[LogFields]:
    last = Entry.objects.filter(log=OuterRef("pk")).order_by("-changed_seq").values("changed_seq")
    logs = Log.objects.using(alias).filter(name__in=names).select_for_update().order_by("pk")
    columns = ("pk", "name", "last_seq", "rights_seq", "epoch", "last_at", Subquery(last[:1]))
    return [(*row, "", "") for row in logs.values_list(*columns)]


def _repaired(log: LockedTopicLog, last_row: int | None) -> LockedTopicLog:
    if last_row is not None and last_row > log.last_seq:
        logger.warning(
            "topic %s: rows were written past its log: it ends at %s", log.name, last_row
        )
        log.last_seq = last_row
    return log
