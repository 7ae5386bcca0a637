"""Number the pending messages of rooms; `log.append` does so too before it appends."""

from collections.abc import Iterable

from django.db import DataError, IntegrityError

from ...logs import get_logger
from ...models import Pending, Room
from ..database.alias import database
from . import log, outbox

__all__ = ["number"]

logger = get_logger("realtime.log")

DROPPED = "room %s: a message of the site is dropped, because it cannot be stored: %s"


def number(room_ids: Iterable[int]) -> int:
    """Number everything that is pending in rooms; return how many messages there were.

    A message that cannot be stored is dropped with an error in the log, as it would stop its room.
    Raises what the database raises otherwise.
    """
    wanted = set(room_ids)
    if not wanted:
        return 0
    rooms = set(Room.objects.using(database()).filter(pk__in=wanted).values_list("pk", flat=True))
    _drop_all(wanted - rooms)
    try:
        return _number(rooms)
    except (DataError, IntegrityError):
        return sum(_number_each(room_id) for room_id in sorted(rooms))


def _number(room_ids: set[int]) -> int:
    count, has_more = 0, bool(room_ids)
    while has_more:
        moved = log.number_pending(room_ids)
        count += moved
        has_more = moved == outbox.BATCH
    return count


def _number_each(room_id: int) -> int:
    count, has_more = 0, True
    while has_more:
        try:
            moved = log.number_pending({room_id}, 1)
        except (DataError, IntegrityError) as error:
            outbox.drop(database(), room_id)
            # Not the error itself: it may have the text of the message.
            logger.error(DROPPED, room_id, type(error).__name__)
            continue
        count += moved
        has_more = moved > 0
    return count


def _drop_all(room_ids: set[int]) -> None:
    """Delete the pending messages of rooms that do not exist any more."""
    if room_ids:
        waiting = Pending.objects.using(database()).filter(room_id__in=room_ids)
        if count := waiting.delete()[0]:
            logger.warning("%d messages of the site are dropped: their rooms were deleted", count)
