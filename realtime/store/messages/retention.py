"""Remove old messages from the beginning of the logs of rooms.

A room on legal hold is left as it is. Removal ends at the first message that is young enough: so
what is left has no holes, also if older messages were imported behind it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone

from ...models import Log, Message, Room
from ...models.rooms import LEAST_DAYS
from ..database.alias import database
from ..database.transactions import own_transaction
from .logs import lock_logs

__all__ = ["MOST_DAYS", "OldRoom", "end_of", "number_of_old", "old_rooms", "purge"]

MOST_DAYS = 36_500
CHUNK = 500
"""The most messages that one transaction removes."""


class OldRoom(NamedTuple):
    """A room with messages that need not be kept."""

    pk: int
    slug: str
    before: datetime


def old_rooms(days: float) -> Iterator[OldRoom]:
    """Yield the rooms whose first message is old; `days` is the default of rooms, 0 for no end."""
    now, last, has_more = timezone.now(), 0, True
    first = Message.objects.filter(room=OuterRef("pk")).order_by("seq").values("created_at")[:1]
    while has_more:
        rooms = Room.objects.using(database()).filter(pk__gt=last, is_held=False).order_by("pk")
        columns = ("pk", "slug", "keep_days", "first_at")
        rows = list(rooms.annotate(first_at=Subquery(first)).values_list(*columns)[:CHUNK])
        for pk, slug, own_days, first_at in rows:
            kept = days if own_days is None else own_days
            before = end_of(kept, now)
            if before is not None and first_at is not None and first_at < before:
                yield OldRoom(pk, slug, before)
        has_more, last = len(rows) == CHUNK, rows[-1][0] if rows else last


def end_of(days: float, now: datetime) -> datetime | None:
    """Return the time before which messages need not be kept for so many days; None for 0."""
    return now - timedelta(days=min(max(days, LEAST_DAYS), MOST_DAYS)) if days else None


def purge(room_id: int, before: datetime) -> Iterator[int]:
    """Remove the messages of a room that were sent before a time; yield how many in each chunk.

    `purged_seq` becomes the last position of them, so a client that has an earlier one begins anew.
    Raises what the database raises.
    """
    has_more = True
    while has_more and (pks := _old(room_id, before)):
        removed = _remove(room_id, pks)
        yield removed
        # None: the room is on hold since, or another process has removed them and goes on.
        has_more = removed > 0 and len(pks) == CHUNK


def number_of_old(room_id: int, before: datetime) -> int:
    """Return how many messages `purge` would remove."""
    rows = _messages(room_id)
    young = rows.filter(created_at__gte=before).order_by("seq").values_list("seq", flat=True)[:1]
    first = list(young)
    return int((rows.filter(seq__lt=first[0]) if first else rows).count())


def _old(room_id: int, before: datetime) -> list[int]:
    rows = _messages(room_id).order_by("seq").values_list("pk", "created_at")[:CHUNK]
    return [pk for pk, _ in takewhile(lambda row: row[1] < before, rows)]


def _remove(room_id: int, pks: list[int]) -> int:
    alias = database()
    with own_transaction(alias):
        lock_logs(alias, {room_id})
        if Room.objects.using(alias).filter(pk=room_id, is_held=True).exists():
            return 0
        rows = Message.objects.using(alias).filter(pk__in=pks)
        last = rows.aggregate(last=Max("changed_seq"))["last"]
        _, numbers = rows.delete()
        if last is not None:
            logs = Log.objects.using(alias).filter(room=room_id, purged_seq__lt=last)
            logs.update(purged_seq=last)
    return numbers.get(Message._meta.label, 0)


def _messages(room_id: int) -> Any:
    return Message.objects.using(database()).filter(room_id=room_id)
