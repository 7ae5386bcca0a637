"""Write one batch of new messages and changes of older ones, in their order.

A change locks the log of the room as a new message does. In one transaction of one thread, they
never wait for each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db import transaction

from ...wire.errors import CommandError
from ..database.alias import database
from ..messages import slow_mode
from ..messages.drafts import Draft, Stored
from ..messages.history import room_key
from ..messages.logs import lock_logs
from ..messages.rows import known_ids, spent_ids
from .room_numbering import append

__all__ = ["Change", "RoomSubmission", "write_all"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a stored message, such as its deletion.

    `apply` writes it while the log of the room is locked. It is called again if the outcome of a
    commit is unknown, so it must be idempotent. If it raises `CommandError`, only this change is
    rolled back.
    """

    room_id: int
    apply: Callable[[], Stored]

    @property
    def log_key(self) -> str:
        """The log that the change belongs to."""
        return room_key(self.room_id)


RoomSubmission = Draft | Change


def write_all(
    submissions: Sequence[RoomSubmission],
    *,
    lock_timeout_ms: int | None = None,
    bounded: bool = False,
) -> list[Stored | CommandError]:
    """Append drafts and apply changes in their order; return the result of each.

    They are one transaction, which first locks the logs of all rooms, in the order of their keys.
    Raises what `room_numbering.append` raises; then nothing is stored.
    """
    if not any(type(one) is Change for one in submissions):
        return _append(submissions, lock_timeout_ms, bounded)  # type: ignore[arg-type]
    results: list[Stored | CommandError] = []
    with transaction.atomic(using=database()):
        lock_logs(database(), {one.room_id for one in submissions}, lock_timeout_ms)
        for kind, group in groupby(submissions, key=type):
            some: list[Any] = list(group)
            results += map(_apply, some) if kind is Change else _append(some, None, bounded)
    return results


def _append(
    drafts: Sequence[Draft], lock_timeout_ms: int | None, bounded: bool
) -> list[Stored | CommandError]:
    if any(draft.slow_seconds for draft in drafts):
        return _append_in_slow_mode(drafts, lock_timeout_ms, bounded)
    return list(append(drafts, lock_timeout_ms=lock_timeout_ms, bounded=bounded))


def _append_in_slow_mode(
    drafts: Sequence[Draft], lock_timeout_ms: int | None, bounded: bool
) -> list[Stored | CommandError]:
    """Refuse drafts that come too soon with `rate_limited`, and append the others.

    A repeated message is not checked again: it gets the result of the first one.
    """
    alias, slow = database(), {draft.key: draft for draft in drafts if draft.slow_seconds}
    with transaction.atomic(using=alias):
        logs = lock_logs(alias, {draft.room_id for draft in drafts}, lock_timeout_ms)
        known = known_ids(alias, slow) | spent_ids(alias, slow, logs)
        new = [draft for key, draft in slow.items() if key not in known]
        refused = slow_mode.refused(new)
        accepted = [draft for draft in drafts if draft.key not in refused]
        stored = iter(append(accepted, bounded=bounded))
        slow_mode.note_addresses(one for one in new if one.key not in refused)
        return [refused.get(draft.key) or next(stored) for draft in drafts]


def _apply(change: Change) -> Stored | CommandError:
    try:
        with transaction.atomic(using=database()):
            return change.apply()
    except CommandError as refusal:
        return refusal
