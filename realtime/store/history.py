"""Rooms' logs: the only place where a message gets its number, and every way of reading them.

The database is the log; all reads go to the database that is written, so that nobody
resumes from a replica that lags.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from uuid import uuid4

from django.db import connections, router, transaction
from django.db.models import F
from django.utils import timezone

from ..models import Head, Message
from ..models.rooms import new_epoch
from ..wire.events import MessageState, timestamp
from .identity import Identity

__all__ = [
    "MADE_NONCE",
    "Changes",
    "Draft",
    "Mark",
    "Stored",
    "append",
    "change_rights",
    "database",
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

# One index probe a draft. With three IN lists SQLite tries every combination (2 s for 500
# drafts in 50 rooms), and PostgreSQL reads whole rooms.
FIND_NONCES = """
    SELECT (
        SELECT id FROM realtime_message
        WHERE room_id = column1 AND sender = column2 AND nonce = column3
    ) FROM (VALUES {}) AS wanted
"""


def database() -> str:
    """The alias of the database that holds the logs."""
    return router.db_for_write(Message)


def _made_nonce() -> str:
    return MADE_NONCE + uuid4().hex


@dataclass(slots=True, kw_only=True)
class Draft:
    """A message that has no number yet.

    `sender` is the protocol's `user_id`; `nonce` makes it one message however often it is
    appended, also after a commit whose outcome nobody knows.
    """

    room_id: int
    content: str
    sender: str
    username: str
    user_id: Any = None
    data: dict[str, Any] | None = None
    nonce: str = field(default_factory=_made_nonce)

    @classmethod
    def by(
        cls,
        who: Identity,
        room_id: int,
        content: str,
        *,
        data: dict[str, Any] | None = None,
        nonce: str | None = None,
    ) -> Self:
        """What somebody says in a room."""
        return cls(
            room_id=room_id,
            content=content,
            sender=who.user_id,
            username=who.username,
            user_id=who.user_pk,
            data=data,
            nonce=_made_nonce() if nonce is None else nonce,
        )

    @property
    def key(self) -> tuple[int, str, str]:
        """What is unique about it."""
        return self.room_id, self.sender, self.nonce


class Stored(NamedTuple):
    """A message that has its number; `is_new` unless its nonce was already there."""

    message: Message
    epoch: str
    is_new: bool


class Mark(NamedTuple):
    """How far a room's log goes."""

    last_seq: int
    purged_seq: int
    rights_seq: int
    epoch: str


class Changes(NamedTuple):
    """States in the order of their last change, and the position they reach."""

    states: list[MessageState]
    through: int
    mark: Mark
    has_more: bool


def append(drafts: Sequence[Draft], *, lock_timeout_ms: int | None = None) -> list[Stored]:
    """Number and store drafts in one transaction; return what became of each, in order.

    Inside a caller's transaction the rooms stay locked until that commits. With
    `lock_timeout_ms` PostgreSQL gives up waiting for a room after so long, and after three
    seconds in any one statement. Raises what the database raises; then nothing is stored.
    """
    if not drafts:
        return []
    alias = database()
    with transaction.atomic(using=alias):
        if lock_timeout_ms is not None:
            _limit_waiting(alias, lock_timeout_ms)
        heads = _locked_heads(alias, {draft.room_id for draft in drafts})
        known = _by_nonce(alias, drafts)
        new = _numbered([draft for draft in drafts if draft.key not in known], heads)
        Message.objects.using(alias).bulk_create(new.values())
        _move_heads(alias, new.values())
    return _results(drafts, known, new, heads)


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
    rows = list(
        _messages()
        .filter(room_id=room_id, changed_seq__lte=end.last_seq)
        .order_by("-changed_seq")[:limit]
    )
    states = [state_of(row) for row in reversed(rows)]
    return Changes(states, end.last_seq, end, has_more=len(states) == limit)


def page(room_id: int, before: int, limit: int) -> tuple[list[MessageState], bool]:
    """The `limit` messages with a place below `before`, ascending, and whether there are more."""
    rows = list(_messages().filter(room_id=room_id, seq__lt=before).order_by("-seq")[: limit + 1])
    return [state_of(row) for row in reversed(rows[:limit])], len(rows) > limit


def recent(room_id: int, limit: int) -> tuple[list[MessageState], bool, Mark]:
    """The newest `limit` messages by place, whether there are more, and the log's end before."""
    end = mark(room_id)
    states, has_more = page(room_id, end.last_seq + 1, limit)
    return states, has_more, end


def mark(room_id: int) -> Mark:
    """How far a room's log goes; a room without a head gets one.

    Raises `IntegrityError` for a room that does not exist.
    """
    found = marks([room_id])
    if not found:
        _make_heads(database(), [room_id])
        found = marks([room_id])
    return found[room_id]


def marks(room_ids: Iterable[int]) -> dict[int, Mark]:
    """How far many rooms' logs go, in one query."""
    rows = (
        Head.objects.using(database())
        .filter(pk__in=list(room_ids))
        .values_list("pk", "last_seq", "purged_seq", "rights_seq", "epoch")
    )
    return {row[0]: Mark(*row[1:]) for row in rows}


def renew_epoch(room_id: int, known: str) -> None:
    """Begin another life of a log that ends before what was already told; once, whoever asks."""
    Head.objects.using(database()).filter(pk=room_id, epoch=known).update(epoch=new_epoch())


def change_rights(room_ids: Iterable[int]) -> None:
    """Let everything that is remembered of rights in these rooms be asked for again."""
    Head.objects.using(database()).filter(pk__in=list(room_ids)).update(
        rights_seq=F("rights_seq") + 1
    )


def state_of(message: Message) -> MessageState:
    """What clients are told of a message; a deleted one has no text."""
    is_deleted = message.deleted_at is not None
    return MessageState(
        id=message.pk,
        seq=message.seq,
        user_id=message.sender,
        username=message.username,
        created_at=timestamp(message.created_at),
        content=None if is_deleted else message.content,
        data=None if is_deleted else message.data,
        nonce=None if message.nonce.startswith(MADE_NONCE) else message.nonce,
        changed_seq=None if message.changed_seq == message.seq else message.changed_seq,
        edited_at=timestamp(message.edited_at) if message.edited_at else None,
        deleted=is_deleted,
    )


def _messages() -> Any:
    return Message.objects.using(database())


def _limit_waiting(alias: str, lock_timeout_ms: int) -> None:
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true),"
                " set_config('statement_timeout', '3s', true)",
                [f"{lock_timeout_ms}ms"],
            )


def _locked_heads(alias: str, room_ids: set[int]) -> dict[int, Head]:
    heads = _lock(alias, room_ids)
    if missing := room_ids - heads.keys():
        _make_heads(alias, missing)
        heads = _lock(alias, room_ids)
    return heads


def _lock(alias: str, room_ids: set[int]) -> dict[int, Head]:
    heads = Head.objects.using(alias).filter(pk__in=room_ids)
    if connections[alias].features.has_select_for_update:
        # no_key: a plain FOR UPDATE blocks, and deadlocks with, rows that refer to the room.
        rows = heads.select_for_update(no_key=True).order_by("pk")
    else:
        # SQLite: a transaction that begins by reading cannot always become a writing one.
        heads.update(last_seq=F("last_seq"))
        rows = heads
    return {head.pk: head for head in rows}


def _make_heads(alias: str, room_ids: Iterable[int]) -> None:
    Head.objects.using(alias).bulk_create(
        [Head(room_id=room_id) for room_id in sorted(room_ids)], ignore_conflicts=True
    )


def _by_nonce(alias: str, drafts: Sequence[Draft]) -> dict[tuple[int, str, str], Message]:
    # After the lock and in a statement of its own, so that it sees what the last holder committed.
    with connections[alias].cursor() as cursor:
        cursor.execute(
            FIND_NONCES.format(", ".join(["(%s, %s, %s)"] * len(drafts))),
            [value for draft in drafts for value in draft.key],
        )
        found = [pk for (pk,) in cursor.fetchall() if pk is not None]
    rows = Message.objects.using(alias).filter(pk__in=found) if found else ()
    return {(row.room_id, row.sender, row.nonce): row for row in rows}


def _numbered(
    drafts: Sequence[Draft], heads: dict[int, Head]
) -> dict[tuple[int, str, str], Message]:
    now = timezone.now()
    new: dict[tuple[int, str, str], Message] = {}
    for draft in drafts:
        if draft.key in new:
            continue
        head = heads[draft.room_id]
        head.last_seq += 1
        new[draft.key] = Message(
            room_id=draft.room_id,
            seq=head.last_seq,
            changed_seq=head.last_seq,
            sender=draft.sender,
            user_id=draft.user_id,
            username=draft.username,
            content=draft.content,
            data=draft.data,
            nonce=draft.nonce,
            created_at=now,
        )
    return new


def _move_heads(alias: str, new: Iterable[Message]) -> None:
    numbers = Counter(message.room_id for message in new)
    for number in set(numbers.values()):
        rooms = [room_id for room_id, count in numbers.items() if count == number]
        Head.objects.using(alias).filter(pk__in=rooms).update(last_seq=F("last_seq") + number)


def _results(
    drafts: Sequence[Draft],
    known: dict[tuple[int, str, str], Message],
    new: dict[tuple[int, str, str], Message],
    heads: dict[int, Head],
) -> list[Stored]:
    told: set[tuple[int, str, str]] = set()
    results = []
    for draft in drafts:
        key = draft.key
        is_new = key in new and key not in told
        told.add(key)
        message = new[key] if key in new else known[key]
        results.append(Stored(message, heads[draft.room_id].epoch, is_new))
    return results
