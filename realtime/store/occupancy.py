"""Which rooms have users now: told once, by the process that writes or deletes the row of a room.

Presence itself is in `presence.py`. A process that dies leaves a row, or leaves one out; the next
pulse of any process corrects that.
"""

from collections.abc import Collection
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from ..models import Occupancy, Presence, Room
from .database.alias import database

__all__ = ["Turnover", "settle"]


class Turnover(NamedTuple):
    """The slugs of the rooms that were occupied and vacated since they were last compared."""

    occupied: list[str]
    vacated: list[str]


def settle(room_ids: Collection[int] | None = None) -> Turnover:
    """Compare rooms with their presence, by default all; return those that this call has changed.

    Of several processes that compare a room, one gets it.
    """
    present = Exists(_live(OuterRef("pk")))
    filled = Room.objects.using(database()).filter(present, occupancy=None)
    rows = Occupancy.objects.using(database())
    empty = rows.filter(~Exists(_live(OuterRef("room"))))
    if room_ids is not None:
        filled, empty = filled.filter(pk__in=room_ids), empty.filter(room__in=room_ids)
    left = list(empty.values_list("room", "room__slug"))
    return Turnover(
        [slug for pk, slug in filled.values_list("pk", "slug") if _occupy(pk)],
        [slug for pk, slug in left if empty.filter(room=pk).delete()[0]],
    )


def _live(room: OuterRef) -> QuerySet[Presence]:
    rows = Presence.objects.using(database()).filter(room=room)
    return rows.filter(connection__node__reaper="", connection__node__expires_at__gt=Now())


def _occupy(room_id: int) -> bool:
    try:
        with transaction.atomic(using=database()):
            Occupancy.objects.using(database()).create(room_id=room_id)
    except IntegrityError:  # another process was faster, or the room was deleted
        return False
    return True
