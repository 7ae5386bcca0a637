"""Which rooms and topics have users now: told once, by the process that writes or deletes the row.

Presence itself is in `presence.py`. A process that dies leaves a row, or leaves one out; the next
pulse of any process corrects that.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from ..models import Occupancy, Presence, Room, TopicOccupancy
from .database.alias import database

__all__ = ["Turnover", "settle", "settle_topics"]


class Turnover(NamedTuple):
    """The rooms (slugs) or topics that were occupied and vacated since they were last compared."""

    occupied: list[str]
    vacated: list[str]


def settle(room_ids: Collection[int] | None = None) -> Turnover:
    """Compare rooms with their presence, by default all; return those that this call has changed.

    Of several processes that compare a room, one gets it.
    """
    present = Exists(_live(room=OuterRef("pk")))
    filled = Room.objects.using(database()).filter(present, occupancy=None)
    rows = Occupancy.objects.using(database())
    empty = rows.filter(~Exists(_live(room=OuterRef("room"))))
    if room_ids is not None:
        filled, empty = filled.filter(pk__in=room_ids), empty.filter(room__in=room_ids)
    left = list(empty.values_list("room", "room__slug"))
    return Turnover(
        [slug for pk, slug in filled.values_list("pk", "slug") if _add(rows, room_id=pk)],
        [slug for pk, slug in left if empty.filter(room=pk).delete()[0]],
    )


def settle_topics(topics: Collection[str] | None = None) -> Turnover:
    """Compare topics with their presence, as `settle` does for rooms."""
    rows = TopicOccupancy.objects.using(database())
    known = rows.filter(topic=OuterRef("topic"))
    filled = _live(topic__isnull=False).filter(~Exists(known))
    empty = rows.filter(~Exists(_live(topic=OuterRef("topic"))))
    if topics is not None:
        filled, empty = filled.filter(topic__in=topics), empty.filter(topic__in=topics)
    new: list[Any] = list(filled.values_list("topic", flat=True).distinct())
    left = list(empty.values_list("topic", flat=True))
    return Turnover(
        [name for name in new if _add(rows, topic=name)],
        [name for name in left if empty.filter(topic=name).delete()[0]],
    )


def _live(**conditions: Any) -> QuerySet[Presence]:
    rows = Presence.objects.using(database()).filter(**conditions)
    return rows.filter(connection__node__reaper="", connection__node__expires_at__gt=Now())


def _add(rows: QuerySet[Any], **columns: Any) -> bool:
    try:
        with transaction.atomic(using=database()):
            rows.create(**columns)
    except IntegrityError:  # another process was faster, or the room was deleted
        return False
    return True
