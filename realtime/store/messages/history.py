"""Read the logs of rooms and their counters; `rows.py` writes the logs.

The database is the log. All reads use the primary database, so that no client resumes from a
replica that lags.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F

from ...models import Log, Message
from ...models.rooms import new_epoch
from ...signals import rights_changed, site_sanctions_changed
from ...wire.body import copy_body
from ...wire.clean import as_sent
from ...wire.events import MessageState, timestamp
from ..accounts.display import name_of_message
from ..database import life
from ..database.alias import database
from ..logs import MADE_NONCE, Changes, LogMark

__all__ = [
    "change_rights",
    "change_site_sanctions",
    "make_logs",
    "mark",
    "marks",
    "newest",
    "page",
    "recent",
    "renew_epoch",
    "rights_together",
    "room_key",
    "since",
    "state_of",
]


@dataclass
class _Gathered:
    """The changes of rights of a block of `rights_together`, by `user_id`; "" is all users."""

    rooms: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    on_site: set[str] = field(default_factory=set)


_gathered: ContextVar[_Gathered | None] = ContextVar("realtime.gathered_rights", default=None)


def room_key(room_id: int) -> str:
    """Return the log key of a room, which is also the name of its topic in the channel layer."""
    return f"room.{room_id}"


def since(room_id: int, position: int, limit: int) -> Changes[MessageState]:
    """Return the latest state of messages changed after `position`, oldest change first.

    The end of the log is read before the rows: a message committed between the two is either
    among the rows or beyond the returned `through`, never lost. `purged_seq` is read after them,
    so that it covers rows that are missing.
    """
    end = mark(room_id)
    rows = list(
        _messages()
        .filter(room_id=room_id, changed_seq__gt=position)
        .order_by("changed_seq")[: limit + 1]
    )
    has_more = len(rows) > limit
    states = [state_of(row) for row in rows[:limit]]
    if has_more:
        through = states[-1].position if states else position
    else:
        through = max([end.last_seq, *(state.position for state in states[-1:])])
    return Changes(states, through, _with_later_purge(room_id, end), has_more)


def newest(room_id: int, limit: int) -> Changes[MessageState]:
    """Return the last `limit` changes, which a process caches when it opens a room.

    As in `since`, `purged_seq` is read after the rows.
    """
    end = mark(room_id)
    changes = _messages().filter(room_id=room_id).order_by("-changed_seq")
    rows = list(changes[:limit])
    if is_behind := bool(rows) and rows[0].changed_seq > end.last_seq:
        rows = list(changes.filter(changed_seq__lte=end.last_seq)[:limit])
    states = [state_of(row) for row in reversed(rows)]
    end = _with_later_purge(room_id, end)
    return Changes(states, end.last_seq, end, len(states) == limit, is_behind)


def older(room_id: int, position: int, limit: int) -> Changes[MessageState]:
    """Return the last `limit` changes up to `position`, oldest first.

    The mark is read after the rows, so that its `purged_seq` covers rows that are missing.
    """
    rows = list(
        _messages()
        .filter(room_id=room_id, changed_seq__lte=position)
        .order_by("-changed_seq")[: limit + 1]
    )
    states = [state_of(row) for row in reversed(rows[:limit])]
    return Changes(states, position, mark(room_id), len(rows) > limit)


def page(room_id: int, before: int, limit: int) -> tuple[list[MessageState], bool]:
    """Return the last `limit` messages with a `seq` below `before`, and whether there are more."""
    rows = list(_messages().filter(room_id=room_id, seq__lt=before).order_by("-seq")[: limit + 1])
    return [state_of(row) for row in reversed(rows[:limit])], len(rows) > limit


def recent(room_id: int, limit: int) -> tuple[list[MessageState], bool, LogMark]:
    """Return the newest `limit` messages, whether there are more, and the mark read before."""
    end = mark(room_id)
    states, has_more = page(room_id, end.last_seq + 1, limit)
    return states, has_more, end


def mark(room_id: int) -> LogMark:
    """Return the end of a room's log; a room without a log gets one.

    Raises `IntegrityError` for a room that does not exist.
    """
    found = marks([room_id])
    if not found:
        make_logs(database(), [room_id])
        found = marks([room_id])
    return found[room_id]


def marks(room_ids: Iterable[int]) -> dict[int, LogMark]:
    """Return the ends of the logs of rooms, in one query."""
    rows = (
        Log.objects.using(database())
        .filter(room__in=list(room_ids))
        .values_list("room_id", "last_seq", "purged_seq", "rights_seq", "epoch")
    )
    return {row[0]: LogMark(*row[1:]) for row in rows}


def _with_later_purge(room_id: int, end: LogMark) -> LogMark:
    later = marks([room_id]).get(room_id, end)
    return end._replace(purged_seq=later.purged_seq)


def renew_epoch(room_id: int, known: str) -> None:
    """Begin a new epoch of a log that ends before positions that were published; at most once."""
    alias = database()
    Log.objects.using(alias).filter(room=room_id, epoch=known).update(
        epoch=new_epoch(), life=life.current(alias)
    )


@contextmanager
def rights_together() -> Iterator[None]:
    """Gather the changes of rights in a block, and make them at its end: one for each room."""
    if _gathered.get() is not None:  # inside another one
        yield
        return
    changes = _Gathered()
    token = _gathered.set(changes)
    try:
        yield
    finally:
        _gathered.reset(token)
    for room_id, users in changes.rooms.items():
        change_rights([room_id], users.pop() if len(users) == 1 else "")
    for user in {""} if "" in changes.on_site else changes.on_site:
        change_site_sanctions(user)


def change_site_sanctions(user_id: str) -> None:
    """Tell that a site-wide sanction has changed; without `user_id`, one of an address."""
    if (gathered := _gathered.get()) is not None:
        gathered.on_site.add(user_id)
    else:
        site_sanctions_changed.send(None, user_id=user_id)


def change_rights(room_ids: Iterable[int], user_id: str = "") -> None:
    """Invalidate the cached rights in these rooms; with `user_id`, those of one user."""
    if (gathered := _gathered.get()) is not None:
        for room_id in room_ids:
            gathered.rooms[room_id].add(user_id)
        return
    alias = database()
    logs = Log.objects.using(alias).filter(room__in=list(room_ids))
    with transaction.atomic(using=alias):
        logs.update(rights_seq=F("rights_seq") + 1)
        columns = ("pk", "epoch", "last_seq", "life", life.current(alias))
        rows = logs.values_list("room_id", "rights_seq", *columns)
        found = list(rows)
        life.renew(alias, [life.Life(*row[2:]) for row in found])
        rights_changed.send(None, rooms={row[0]: row[1] for row in found}, user_id=user_id)


def state_of(message: Message) -> MessageState:
    """Return the state of a message that clients get; a deleted one has no text."""
    is_deleted = message.deleted_at is not None
    state = MessageState(
        id=message.pk,
        seq=message.seq,
        user_id=message.sender,
        username=name_of_message(message.sender, message.username),
        created_at=timestamp(message.created_at),
        nonce=None if is_deleted or message.nonce.startswith(MADE_NONCE) else message.nonce,
        changed_seq=None if message.changed_seq == message.seq else message.changed_seq,
        edited_at=timestamp(message.edited_at) if message.edited_at else None,
        deleted=is_deleted,
    )
    if not is_deleted:
        copy_body(message, state)
        state.data = as_sent(state.data)
    return state


def _messages() -> Any:
    return Message.objects.using(database())


def make_logs(alias: str, room_ids: Iterable[int]) -> None:
    """Create the logs of rooms without one."""
    now = life.current(alias)
    Log.objects.using(alias).bulk_create(
        [Log(room_id=room_id, life=now) for room_id in sorted(room_ids)], ignore_conflicts=True
    )
