"""Remove old entries of topics, and the logs that are left empty.

Old is what was numbered long ago: a long transaction publishes with an earlier time. The living
value of a key is never removed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any

from django.db import connections, transaction
from django.db.models import Exists, OuterRef, Q

from ...models import Entry, Log
from ..database.alias import database
from ..database.transactions import LOCK_MS, own_transaction
from .logs import lock_logs

__all__ = [
    "delete_idle_logs",
    "idle_logs",
    "number_of_old",
    "purge",
    "remove_events",
    "topic_names",
]

CHUNK = 500
"""The most rows that one transaction removes."""
FIELDS = ("pk", "changed_seq", "at")

OldEntry = tuple[int, int, datetime]
Find = Callable[[Any], list[OldEntry]]
"""Returns at most `CHUNK` of some entries, oldest first."""


def topic_names() -> Iterator[str]:
    """Yield the names of all topics that have a log."""
    name, has_more = "", True
    while has_more:
        logs = Log.objects.using(database()).filter(name__gt=name).order_by("name")
        names = list(logs.values_list("name", flat=True)[:CHUNK])
        yield from (str(one) for one in names)
        has_more = len(names) == CHUNK
        name = str(names[-1]) if names else name


def purge(name: str, before: datetime) -> Iterator[int]:
    """Remove the events and deleted keys of a topic that were numbered before a time.

    Yields how many in each transaction. `purged_seq` becomes the last position of them, so a client
    that has an earlier one begins anew. Raises what the database raises.
    """
    for find in (_old_events, _old_tombstones):
        yield from _purge_all(name, partial(find, before=before))


def remove_events(name: str, sender: str, *, lock_ms: int) -> Iterator[int]:
    """Remove the events of a sender in a topic, as `purge` does; yield how many at once."""
    return _purge_all(name, partial(_events_of, sender=sender), lock_ms)


def number_of_old(name: str, before: datetime) -> int:
    """Return how many entries `purge` would remove."""
    entries = Entry.objects.using(database()).filter(log__name=name, at__lt=before)
    return int(entries.filter(Q(key__isnull=True) | Q(is_deleted=True)).count())


def delete_idle_logs(before: datetime) -> int:
    """Delete the logs of topics that have no entries and did not change since a time.

    The next entry begins a log with another epoch. Returns how many were deleted.
    """
    count, has_more = 0, True
    while has_more:
        deleted = _delete_idle(before)
        count += deleted
        has_more = deleted == CHUNK
    return count


def idle_logs(before: datetime) -> Any:
    """Return the logs that `delete_idle_logs` would delete."""
    entries = Entry.objects.filter(log=OuterRef("pk"))
    logs: Any = Log.objects.using(database()).filter(name__isnull=False)
    return logs.filter(Q(last_at__isnull=True) | Q(last_at__lt=before)).exclude(Exists(entries))


def _purge_all(name: str, find: Find, lock_ms: int = LOCK_MS) -> Iterator[int]:
    has_more = True
    while has_more:
        removed = _purge(name, find, lock_ms)
        yield removed
        has_more = removed == CHUNK


def _purge(name: str, find: Find, lock_ms: int) -> int:
    alias = database()
    with own_transaction(alias, lock_ms):
        log = lock_logs(alias, [name]).get(name)
        rows = [] if log is None else find(Entry.objects.using(alias).filter(log=log.id))
        if log is not None and rows:
            Entry.objects.using(alias).filter(pk__in=[row[0] for row in rows]).delete()
            _raise_purged_seq(alias, log.id, rows[-1][1])
    return len(rows)


def _old_events(entries: Any, before: datetime) -> list[OldEntry]:
    # In a log, times never decrease. With a condition on them, the database would read all rows
    # that are left.
    first = entries.filter(key__isnull=True).order_by("seq").values_list(*FIELDS)[:CHUNK]
    return list(takewhile(lambda row: row[2] < before, first))


def _old_tombstones(entries: Any, before: datetime) -> list[OldEntry]:
    tombstones = entries.filter(key__isnull=False, is_deleted=True, at__lt=before)
    return list(tombstones.order_by("changed_seq").values_list(*FIELDS)[:CHUNK])


def _events_of(entries: Any, sender: str) -> list[OldEntry]:
    rows = entries.filter(key__isnull=True, sender=sender)
    return list(rows.order_by("changed_seq").values_list(*FIELDS)[:CHUNK])


def _raise_purged_seq(alias: str, log_id: int, position: int) -> None:
    logs = Log.objects.using(alias).filter(pk=log_id, purged_seq__lt=position)
    logs.update(purged_seq=position)


def _delete_idle(before: datetime) -> int:
    alias = database()
    with transaction.atomic(using=alias):
        idle = idle_logs(before)
        can_skip = connections[alias].features.has_select_for_update_skip_locked
        locked = idle.select_for_update(skip_locked=can_skip).order_by("pk")
        pks = list(locked.values_list("pk", flat=True)[:CHUNK])
        if not pks:
            return 0
        # Again after the lock: an entry may have come between the query and its lock.
        entries = Entry.objects.filter(log=OuterRef("pk"))
        logs: Any = Log.objects.using(alias).filter(pk__in=pks).exclude(Exists(entries))
        return int(logs.delete()[0])
