"""Lock the logs of rooms, and repair a log that ends before its rows; `rows.py` moves the ends."""

from datetime import timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, connections, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from ...logs import get_logger
from ...models import Log, Message, Pending
from ...models.rooms import new_epoch
from ...wire.events import MessageState
from ..database import life
from ..database.alias import database
from ..logs import Changes
from . import history
from .history import make_logs

__all__ = ["LockedRoomLog", "is_number_taken", "lock_logs", "newest", "repair"]

logger = get_logger("realtime.log")

LOCK_LOGS = """
    SELECT room_id, last_seq, epoch, coalesce(
        deleted_at > statement_timestamp() - interval '7 days', false
    ), EXISTS (
        SELECT FROM realtime_pending AS pending WHERE pending.room_id = log.room_id
    ), (
        SELECT changed_seq FROM realtime_message AS message
        WHERE message.room_id = log.room_id ORDER BY changed_seq DESC LIMIT 1
    ), id, life, {life}
    FROM realtime_head AS log
    WHERE room_id = ANY(%s) ORDER BY room_id FOR NO KEY UPDATE
"""  # a plain FOR UPDATE blocks, and deadlocks with, rows that refer to the room
TOUCH_LOGS = "UPDATE realtime_head SET last_seq = last_seq WHERE room_id IN ({})"
READ_LOGS = """
    SELECT room_id, last_seq, epoch, coalesce(deleted_at > %s, false), false, (
        SELECT changed_seq FROM realtime_message AS message
        WHERE message.room_id = log.room_id ORDER BY changed_seq DESC LIMIT 1
    ), id, life, ''
    FROM realtime_head AS log WHERE room_id IN ({})
"""
SPENT = timedelta(days=7)
"""How long a repeat of a deleted message is detected, as in LOCK_LOGS: clients drop unsent
messages after a day."""
NUMBERS = (
    *("realtime_message_seq", "realtime_message_change"),
    *("realtime_message.seq", "realtime_message.changed_seq"),
)
"""The names of the unique constraints of positions, in errors of PostgreSQL and SQLite."""
MAX_SEQ = 2**53 - 2**32
"""The last position after which a log can continue: JSON carries integers up to 2^53."""


class LockedRoomLog(NamedTuple):
    """The values of a locked log."""

    last_seq: int
    epoch: str
    has_spent: bool
    """Whether a draft may repeat a message that was deleted recently."""
    has_pending: bool = False
    """Whether messages of the site's transactions wait for their position."""


def lock_logs(
    alias: str,
    room_ids: set[int],
    lock_timeout_ms: int | None = None,
    *,
    skip_locked: bool = False,
) -> dict[int, LockedRoomLog]:
    """Lock the logs of rooms until the transaction ends, in the order of the rooms.

    Returns their ends. Processes of the last release lock in the same order, during a deploy.
    With `skip_locked`, logs that another transaction has locked are left out.

    A log with rows beyond its end is repaired: a bulk query, a fixture or a dump has written past
    it.
    """
    if lock_timeout_ms is not None and connections[alias].vendor == "postgresql":
        _limit_waiting(alias, lock_timeout_ms)
    logs = _lock(alias, room_ids, skip_locked)
    if missing := room_ids - logs.keys():
        make_logs(alias, missing)
        logs = _lock(alias, room_ids, skip_locked)
    return logs


def repair(room_id: int) -> None:
    """Move the end of a log to its last row, if rows were written past the log.

    Raises `IntegrityError` for a room that does not exist.
    """
    alias = database()
    with transaction.atomic(using=alias):
        lock_logs(alias, {room_id})


def newest(room_id: int, limit: int) -> Changes[MessageState]:
    """As `history.newest`, after a repair of the log if there are rows beyond it."""
    changes = history.newest(room_id, limit)
    if not changes.is_behind:
        return changes
    repair(room_id)
    return history.newest(room_id, limit)


def is_number_taken(error: IntegrityError) -> bool:
    """Return whether a row written past the log has taken the position of a message."""
    text = str(error)
    return any(name in text for name in NUMBERS)


def _limit_waiting(alias: str, lock_timeout_ms: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true),"
            " set_config('statement_timeout', '3s', true)",
            [f"{lock_timeout_ms}ms"],
        )


def _lock(alias: str, room_ids: set[int], skip_locked: bool) -> dict[int, LockedRoomLog]:
    match connections[alias].vendor:
        case "postgresql":
            with connections[alias].cursor() as cursor:
                query = LOCK_LOGS.format(life=life.expression(alias))
                query += " SKIP LOCKED" if skip_locked else ""
                cursor.execute(query, [list(room_ids)])
                rows = cursor.fetchall()
        case "sqlite":
            rows = _lock_in_sqlite(alias, room_ids)
        case _:
            rows = _lock_by_orm(alias, room_ids)
    epochs = life.renew(alias, [life.Life(row[6], row[2], row[1], *row[7:]) for row in rows])
    logs = {}
    for room_id, last_seq, epoch, has_spent, has_pending, last_row, log_id, *_ in rows:
        epoch = epochs.get(log_id, epoch)
        end = LockedRoomLog(last_seq, epoch, bool(has_spent), bool(has_pending))
        is_behind = last_row is not None and last_row > last_seq
        logs[room_id] = _repair(alias, room_id, last_row, end) if is_behind else end
    return logs


def _lock_in_sqlite(alias: str, room_ids: set[int]) -> list[Any]:
    # A transaction that begins with a read cannot always become a writing one.
    marks = ", ".join(["%s"] * len(room_ids))
    since = connections[alias].ops.adapt_datetimefield_value(timezone.now() - SPENT)
    with connections[alias].cursor() as cursor:
        cursor.execute(TOUCH_LOGS.format(marks), [*room_ids])
        cursor.execute(READ_LOGS.format(marks), [since, *room_ids])
        return list(cursor.fetchall())


def _lock_by_orm(alias: str, room_ids: set[int]) -> list[Any]:
    last_row = Message.objects.filter(room=OuterRef("room")).order_by("-changed_seq")
    pending = Pending.objects.filter(room_id=OuterRef("room"))
    columns = ("room_id", "last_seq", "epoch", "deleted_at")
    found = Exists(pending), Subquery(last_row.values("changed_seq")[:1])
    logs = (
        Log.objects.using(alias).filter(room__in=room_ids).select_for_update().order_by("room_id")
    )
    since = timezone.now() - SPENT
    return [
        (*end, deleted_at is not None and deleted_at > since, has_pending, last, pk, "", "")
        for *end, deleted_at, has_pending, last, pk in logs.values_list(*columns, *found, "pk")
    ]


def _repair(alias: str, room_id: int, last_row: int, end: LockedRoomLog) -> LockedRoomLog:
    logs = Log.objects.using(alias).filter(room=room_id)
    epoch = end.epoch
    if last_row > MAX_SEQ:
        last_row, epoch = _renumber(alias, room_id), new_epoch()
        logs.update(purged_seq=0)
    logs.update(last_seq=last_row, epoch=epoch)
    logger.warning("room %s: rows were written past its log; it ends at %s now", room_id, last_row)
    return end._replace(last_seq=last_row, epoch=epoch)


def _renumber(alias: str, room_id: int) -> int:
    """Number a room's rows from 1 on; return the last number.

    A position above 2^53 is not portable in JSON, and the log could not continue. In ascending
    order, no new number is the old one of another row.
    """
    rows = Message.objects.using(alias).filter(room=room_id)
    last = 0
    for pk in list(rows.order_by("seq").values_list("pk", flat=True)):
        last += 1
        rows.filter(pk=pk).update(seq=last, changed_seq=last)
    return last


@receiver(post_save, sender=Message, dispatch_uid="realtime.message")
def _written_past_the_log(instance: Message, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:  # more rows of the fixture follow
        repair(instance.room_id)
