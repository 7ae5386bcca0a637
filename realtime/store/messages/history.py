"""Reading rooms' logs, and what else is said of them; `log.py` writes them.

The database is the log; all reads go to the database that is written, so that nobody
resumes from a replica that lags.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F

from ...models import Head, Message
from ...models.rooms import new_epoch
from ...signals import rights_changed
from ...wire.body import copy_body
from ...wire.clean import as_sent
from ...wire.events import MessageState, timestamp
from ..accounts.display import name_of_message
from ..database.alias import database

__all__ = [
    "MADE_NONCE",
    "Changes",
    "LogMark",
    "change_rights",
    "make_heads",
    "mark",
    "marks",
    "newest",
    "page",
    "recent",
    "renew_epoch",
    "since",
    "state_of",
]

MADE_NONCE = "~"
"""What a nonce that the client did not give starts with; it is never sent out."""


class LogMark(NamedTuple):
    """How far a room's log goes."""

    last_seq: int
    purged_seq: int
    rights_seq: int
    epoch: str


class Changes(NamedTuple):
    """States in the order of their last change, and the position they reach."""

    states: list[MessageState]
    through: int
    mark: LogMark
    has_more: bool
    is_behind: bool = False
    """Whether there are rows beyond the mark: a log that moved meanwhile, or was written past."""


def since(room_id: int, position: int, limit: int) -> Changes:
    """The latest state of whatever changed after `position`, oldest change first.

    The end of the log is read before the rows: what is committed between the two is
    either among the rows or beyond the returned `through`, never lost.
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
    return Changes(states, through, end, has_more)


def newest(room_id: int, limit: int) -> Changes:
    """The last `limit` changes: what a process that opens a room keeps at hand."""
    end = mark(room_id)
    changes = _messages().filter(room_id=room_id).order_by("-changed_seq")
    rows = list(changes[:limit])
    if is_behind := bool(rows) and rows[0].changed_seq > end.last_seq:
        rows = list(changes.filter(changed_seq__lte=end.last_seq)[:limit])
    states = [state_of(row) for row in reversed(rows)]
    return Changes(states, end.last_seq, end, len(states) == limit, is_behind)


def older(room_id: int, position: int, limit: int) -> Changes:
    """The last `limit` changes up to `position`, oldest first.

    How far the log is purged is read after the rows, so that what is missing among them is told.
    """
    rows = list(
        _messages()
        .filter(room_id=room_id, changed_seq__lte=position)
        .order_by("-changed_seq")[: limit + 1]
    )
    states = [state_of(row) for row in reversed(rows[:limit])]
    return Changes(states, position, mark(room_id), len(rows) > limit)


def page(room_id: int, before: int, limit: int) -> tuple[list[MessageState], bool]:
    """The `limit` messages with a place below `before`, ascending, and whether there are more."""
    rows = list(_messages().filter(room_id=room_id, seq__lt=before).order_by("-seq")[: limit + 1])
    return [state_of(row) for row in reversed(rows[:limit])], len(rows) > limit


def recent(room_id: int, limit: int) -> tuple[list[MessageState], bool, LogMark]:
    """The newest `limit` messages by place, whether there are more, and the log's end before."""
    end = mark(room_id)
    states, has_more = page(room_id, end.last_seq + 1, limit)
    return states, has_more, end


def mark(room_id: int) -> LogMark:
    """How far a room's log goes; a room without a head gets one.

    Raises `IntegrityError` for a room that does not exist.
    """
    found = marks([room_id])
    if not found:
        make_heads(database(), [room_id])
        found = marks([room_id])
    return found[room_id]


def marks(room_ids: Iterable[int]) -> dict[int, LogMark]:
    """How far many rooms' logs go, in one query."""
    rows = (
        Head.objects.using(database())
        .filter(pk__in=list(room_ids))
        .values_list("pk", "last_seq", "purged_seq", "rights_seq", "epoch")
    )
    return {row[0]: LogMark(*row[1:]) for row in rows}


def renew_epoch(room_id: int, known: str) -> None:
    """Begin another life of a log that ends before what was already told; once, whoever asks."""
    Head.objects.using(database()).filter(pk=room_id, epoch=known).update(epoch=new_epoch())


def change_rights(room_ids: Iterable[int], user_id: str = "") -> None:
    """Let everything that is remembered of rights in these rooms be asked for again.

    With `user_id` only that user's have changed.
    """
    heads = Head.objects.using(database()).filter(pk__in=list(room_ids))
    with transaction.atomic(using=database()):
        heads.update(rights_seq=F("rights_seq") + 1)
        changed = dict(heads.values_list("pk", "rights_seq"))
        rights_changed.send(None, rooms=changed, user_id=user_id)


def state_of(message: Message) -> MessageState:
    """What clients are told of a message; a deleted one has no text."""
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


def make_heads(alias: str, room_ids: Iterable[int]) -> None:
    """Give rooms a head where they have none."""
    Head.objects.using(alias).bulk_create(
        [Head(room_id=room_id) for room_id in sorted(room_ids)], ignore_conflicts=True
    )
