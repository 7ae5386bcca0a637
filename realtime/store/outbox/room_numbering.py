"""Give messages of rooms their positions, those that are pending before those of a call.

Numbering moves pending messages into the log of their room after their commit, in a transaction of
its own.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.db import DataError, IntegrityError, connections, transaction

from ...counts import counts
from ...logs import get_logger
from ...models import Pending, Room
from ...signals import messages_stored
from ..database.alias import database
from ..database.transactions import own_transaction
from ..messages.drafts import Draft, Stored
from ..messages.logs import is_number_taken, lock_logs
from ..messages.rows import store
from . import pending_messages
from .origins import Tracked
from .pending_messages import BacklogError

__all__ = ["append", "number"]

logger = get_logger("realtime.log")

FOREIGN_KEY = "23503"
"""The SQLSTATE of a row that refers to one that does not exist."""
DROPPED = "room %s: a message of the site is dropped, because it cannot be stored: %s"


def append(
    drafts: Sequence[Draft], *, lock_timeout_ms: int | None = None, bounded: bool = False
) -> list[Stored]:
    """Number and store drafts in one transaction; return the result of each, in order.

    Inside a caller's transaction the rooms stay locked until its commit. With `lock_timeout_ms`,
    PostgreSQL waits no longer than that for the lock of a room, and three seconds for a statement.
    What is pending in the rooms is stored before. If that is more than one transaction numbers, it
    is stored in transactions of its own, or with `bounded` a `BacklogError` is raised. Raises what
    the database raises; then no draft is stored.
    """
    rooms = {draft.room_id for draft in drafts}
    while True:
        try:
            return _append_or_repair(drafts, rooms, lock_timeout_ms) if drafts else []
        except BacklogError:
            if bounded:
                raise
            number(rooms)


def number(room_ids: Iterable[int], *, bounded: bool = False, skip_locked: bool = False) -> int:
    """Number everything that is pending in rooms; return how many messages there were.

    With `skip_locked`, rooms that another transaction has locked are left to a later call. A
    message that cannot be stored is dropped with an error in the log, as it would stop its room.
    Raises what the database raises otherwise, and with `bounded` a `BacklogError` if more is
    pending than one transaction numbers.
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


def _append_or_repair(
    drafts: Sequence[Draft], rooms: set[int], lock_timeout_ms: int | None
) -> list[Stored]:
    try:
        return _append(drafts, rooms, lock_timeout_ms)
    except (DataError, IntegrityError):
        # A row was written past the log since the lock, and the next lock repairs the log. Or a
        # message that was pending cannot be stored: another process may have dropped it already.
        for room_id in pending_messages.waiting_rooms(database(), rooms):
            _move_each(room_id)
        return _append(drafts, rooms, lock_timeout_ms)


def _append(drafts: Sequence[Draft], rooms: set[int], lock_timeout_ms: int | None) -> list[Stored]:
    alias = database()
    with transaction.atomic(using=alias):
        logs = lock_logs(alias, rooms, lock_timeout_ms)
        waiting = {room_id for room_id, end in logs.items() if end.has_pending}
        pending = _take_all(alias, waiting) if waiting else []
        results = store(alias, [*pending, *drafts], logs)
        counts.number(len(pending))
        if pending:
            _announce(alias, pending, results[: len(pending)])
    return results[len(pending) :]


def _take_all(alias: str, room_ids: set[int]) -> list[Draft]:
    taken, has_more = pending_messages.take(alias, room_ids)
    if has_more:
        raise BacklogError("much is pending in a room")
    return taken


def _announce(alias: str, drafts: Sequence[Draft], results: Sequence[Stored]) -> None:
    """Send the signal of pending messages after the commit."""
    if any(one.is_new for one in results):
        send = partial(messages_stored.send_robust, None)
        told = Tracked(drafts).announce(send, results)
        transaction.on_commit(told, using=alias, robust=True)


def _number(room_ids: set[int], bounded: bool, skip_locked: bool) -> int:
    count, has_more = 0, bool(room_ids)
    while has_more:
        moved, has_more = _move(room_ids, skip_locked=skip_locked)
        count += moved
        if has_more and bounded:
            raise BacklogError("much is pending in a room")
    return count


def _move(room_ids: set[int], *, skip_locked: bool = False) -> tuple[int, bool]:
    """Move the first pending messages of rooms into their logs, in one transaction.

    With `skip_locked`, rooms that another transaction has locked are left out. Returns how many
    there were, and whether there may be more; their signal is sent after the commit. Raises what
    the database raises; then nothing is moved.
    """
    alias = database()
    with own_transaction(alias):
        logs = lock_logs(alias, room_ids, skip_locked=skip_locked)
        drafts, has_more = pending_messages.take(alias, logs)
        _announce(alias, drafts, store(alias, drafts, logs) if drafts else [])
    counts.number(len(drafts))
    return len(drafts), has_more


def _number_each(room_id: int) -> int:
    try:
        return _move_each(room_id)
    except IntegrityError:
        if _existing({room_id}):
            raise
        _drop_all({room_id})
        return 0


def _move_each(room_id: int) -> int:
    """Move the pending messages of a room into its log, each in its own transaction.

    A message that cannot be stored is dropped with an error in the log, as it would stop its room.
    Returns how many were moved. Stops at one that may be stored later, and raises what the database
    raises otherwise.
    """
    count = 0
    while (moved := _move_one(room_id)) is not None:
        count += moved
        counts.number(moved)
    return count


def _move_one(room_id: int) -> bool | None:
    """Move the first pending message of a room; return whether it was stored.

    None if there is none, or none that can be stored or dropped now.
    """
    alias = database()
    with own_transaction(alias):
        lock_logs(alias, {room_id})
        pk = pending_messages.first(alias, room_id)
        if pk is None:
            return None
        # The second try sees what was committed since the first one, such as the deletion of the
        # user, or rows past the log.
        if (first := _try_one(alias, room_id, pk)) is None:
            return True
        if (second := _try_one(alias, room_id, pk)) is None:
            return True
        if _may_pass(second) or _reason(first) != _reason(second):
            logger.warning("room %s: a message of the site waits: %s", room_id, type(second))
            return None
        pending_messages.drop(alias, pk)
        # Not the error itself: it may have the text of the message.
        logger.error(DROPPED, room_id, type(second).__name__)
        return False


def _try_one(alias: str, room_id: int, pk: int) -> DataError | IntegrityError | None:
    """Move a pending message of a locked room in a savepoint; return the error."""
    try:
        with transaction.atomic(using=alias):
            logs = lock_logs(alias, {room_id})
            drafts = pending_messages.take_one(alias, pk)
            _announce(alias, drafts, store(alias, drafts, logs))
            if len(connections[alias].savepoint_ids) == 1:
                # Otherwise a foreign key fails at the commit. Not in a transaction of the site,
                # which may have broken other constraints for a while.
                connections[alias].check_constraints()
    except (DataError, IntegrityError) as error:
        return error
    return None


def _may_pass(error: Exception) -> bool:
    """Return whether a message may be stored later: its position was taken, or its user deleted."""
    is_taken = isinstance(error, IntegrityError) and is_number_taken(error)
    return is_taken or getattr(error.__cause__, "sqlstate", "") == FOREIGN_KEY


def _reason(error: Exception) -> tuple[Any, ...]:
    cause = error.__cause__
    constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
    return type(error), getattr(cause, "sqlstate", None), constraint


def _existing(room_ids: set[int]) -> set[int]:
    rooms = Room.objects.using(database()).filter(pk__in=room_ids)
    return set(rooms.values_list("pk", flat=True))


def _drop_all(room_ids: set[int]) -> None:
    """Delete the pending messages of rooms that do not exist any more."""
    if room_ids:
        waiting = Pending.objects.using(database()).filter(room_id__in=room_ids)
        if count := waiting.delete()[0]:
            logger.warning("%d messages of the site are dropped: their rooms were deleted", count)
