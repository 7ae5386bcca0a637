"""Number the pending messages of rooms; `log.append` does so too before it appends."""

from collections.abc import Iterable

from django.db import DataError, IntegrityError

from ...logs import get_logger
from ...models import Pending, Room
from ..database.alias import database
from ..messages import log, outbox

__all__ = ["number"]

logger = get_logger("realtime.log")


def number(room_ids: Iterable[int], *, bounded: bool = False, skip_locked: bool = False) -> int:
    """Number everything that is pending in rooms; return how many messages there were.

    With `skip_locked`, rooms that another transaction has locked are left to a later call.

    A message that cannot be stored is dropped with an error in the log, as it would stop its room.
    Raises what the database raises otherwise. With `bounded`, a `BacklogError` if more is pending
    than one transaction numbers.
    """
    wanted = set(room_ids)
    if not wanted:
        return 0
    rooms = _existing(wanted)
    _drop_all(wanted - rooms)
    try:
        return _number(rooms, bounded, skip_locked)
    except (DataError, IntegrityError):
        return sum(_number_each(room_id) for room_id in sorted(rooms))


def _number(room_ids: set[int], bounded: bool, skip_locked: bool) -> int:
    count, has_more = 0, bool(room_ids)
    while has_more:
        moved, has_more = log.number_pending(room_ids, skip_locked=skip_locked)
        count += moved
        if has_more and bounded:
            raise outbox.BacklogError("much is pending in a room")
    return count


def _number_each(room_id: int) -> int:
    try:
        return log.number_each(room_id)
    except IntegrityError:
        if _existing({room_id}):
            raise
        _drop_all({room_id})
        return 0


def _existing(room_ids: set[int]) -> set[int]:
    rooms = Room.objects.using(database()).filter(pk__in=room_ids)
    return set(rooms.values_list("pk", flat=True))


def _drop_all(room_ids: set[int]) -> None:
    """Delete the pending messages of rooms that do not exist any more."""
    if room_ids:
        waiting = Pending.objects.using(database()).filter(room_id__in=room_ids)
        if count := waiting.delete()[0]:
            logger.warning("%d messages of the site are dropped: their rooms were deleted", count)
