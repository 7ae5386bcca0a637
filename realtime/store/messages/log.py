"""Append messages to the logs of rooms; the only place where a message gets its position.

An append is idempotent: a message that is sent again with the same nonce is not stored again
(deduplication). On PostgreSQL the database numbers a batch itself, in one statement. That takes a
third of the processor time of the ORM's several, which other databases get (docs/performance.md).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple, Self
from uuid import uuid4

import msgspec
from django.db import DataError, IntegrityError, connections, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from ...logs import get_logger
from ...models import Log, Message, Pending
from ...models.rooms import new_epoch
from ...signals import messages_stored
from ...wire.body import BODY_FIELDS, Body, copy_body, fields_of
from ...wire.events import MessageState, timestamp
from ..accounts.identity import Identity
from ..database import life
from ..database.alias import database
from ..database.transactions import own_transaction
from . import history, nonces, outbox
from .history import MADE_NONCE, Changes, make_logs, room_key, state_of

__all__ = [
    "Draft",
    "Key",
    "LockedLog",
    "Stored",
    "append",
    "import_drafts",
    "is_number_taken",
    "known_ids",
    "lock_logs",
    "newest",
    "number_each",
    "number_pending",
    "repair",
    "spent_ids",
]

logger = get_logger("realtime.log")

Key = tuple[int, str, str]
"""The unique key of a message: room, sender and nonce."""

LOCK_LOGS = """
    SELECT room_id, last_seq, epoch, coalesce(
        deleted_at > statement_timestamp() - interval '7 days', false
    ), EXISTS (
        SELECT FROM realtime_pending AS pending WHERE pending.room_id = log.room_id
    ), (
        SELECT changed_seq FROM realtime_message AS message
        WHERE message.room_id = log.room_id ORDER BY changed_seq DESC LIMIT 1
    ), id, life, {life}
    FROM realtime_head AS log
    WHERE room_id = ANY(%s) ORDER BY room_id FOR NO KEY UPDATE
"""  # a plain FOR UPDATE blocks, and deadlocks with, rows that refer to the room
TOUCH_LOGS = "UPDATE realtime_head SET last_seq = last_seq WHERE room_id IN ({})"
READ_LOGS = """
    SELECT room_id, last_seq, epoch, coalesce(deleted_at > %s, false), false, (
        SELECT changed_seq FROM realtime_message AS message
        WHERE message.room_id = log.room_id ORDER BY changed_seq DESC LIMIT 1
    ), id, life, ''
    FROM realtime_head AS log WHERE room_id IN ({})
"""
SPENT = timedelta(days=7)
"""How long a repeat of a deleted message is detected, as in LOCK_LOGS: clients drop unsent
messages after a day."""
NUMBERS = (
    *("realtime_message_seq", "realtime_message_change"),
    *("realtime_message.seq", "realtime_message.changed_seq"),
)
"""The names of the unique constraints of positions, in errors of PostgreSQL and SQLite."""
MAX_SEQ = 2**53 - 2**32
"""The last position after which a log can continue: JSON carries integers up to 2^53."""
FOREIGN_KEY = "23503"
"""The SQLSTATE of a row that refers to one that does not exist."""
DROPPED = "room %s: a message of the site is dropped, because it cannot be stored: %s"
MOVE_LOG = "UPDATE realtime_head SET last_seq = last_seq + %s WHERE room_id = %s"

# One index probe a draft. With three IN lists SQLite tries every combination (2 s for 500
# drafts in 50 rooms), and PostgreSQL reads whole rooms.
FIND_NONCES = """
    SELECT (
        SELECT id FROM realtime_message
        WHERE room_id = column1 AND sender = column2 AND nonce = column3
    ) FROM (VALUES {}) AS wanted
"""
INSERT_NEW = """
    WITH draft AS (
        SELECT * FROM json_to_recordset(%s) AS draft(
            number int, room_id bigint, sender text, user_id {user_id}, username text,
            nonce text, {types}
        )
    ), new AS (
        INSERT INTO realtime_message (
            room_id, seq, changed_seq, sender, user_id, username, nonce, created_at, {columns}
        )
        SELECT
            room_id, seq, seq, sender, user_id, username, nonce, %s, {columns}
        FROM (
            SELECT
                draft.*,
                last_seq + row_number() OVER (PARTITION BY room_id ORDER BY number) AS seq
            FROM draft JOIN realtime_head USING (room_id)
            WHERE (
                SELECT id FROM realtime_message AS known
                WHERE known.room_id = draft.room_id
                AND known.sender = draft.sender AND known.nonce = draft.nonce
            ) IS NULL
        ) AS numbered
        ORDER BY number
        RETURNING room_id, sender, nonce, id, seq
    ), moved AS (
        UPDATE realtime_head SET last_seq = greatest(last_seq, last)
        FROM (SELECT room_id, max(seq) AS last FROM new GROUP BY room_id) AS ends
        WHERE realtime_head.room_id = ends.room_id
    )
    SELECT room_id, sender, nonce, id, seq FROM new
"""


def _made_nonce() -> str:
    return MADE_NONCE + uuid4().hex


class Draft(Body, kw_only=True):
    """A message without a position.

    `sender` is the protocol's `user_id`. `nonce` makes the append idempotent, also after a commit
    whose outcome is unknown.
    """

    room_id: int
    content: str
    sender: str
    username: str
    user_pk: Any = None
    """The primary key of the user; None for a guest."""
    nonce: str = msgspec.field(default_factory=_made_nonce)
    slug: str = ""
    """The room's slug, for the event; it is not stored."""
    slow_seconds: int = 0
    """How long the sender has to wait after the last message (`slow_mode.append`)."""
    created_at: datetime | None = None
    """When it was sent, if it is imported; only `import_drafts` reads it."""
    address: str = ""
    """The network of a guest: in slow mode, all its guests count as one sender."""
    formerly: tuple[str, ...] = ()
    """Earlier `user_id`s of the connection; slow mode counts them as the sender."""

    @classmethod
    def by(
        cls,
        identity: Identity,
        room_id: int,
        content: str,
        *,
        nonce: str | None = None,
        slug: str = "",
        slow_seconds: int = 0,
        address: str = "",
        **body: Any,
    ) -> Self:
        """Return the draft of a user's message; `body` are the other fields of a `Body`."""
        return cls(
            room_id=room_id,
            content=content,
            sender=identity.user_id,
            username=identity.username,
            user_pk=identity.user_pk,
            nonce=_made_nonce() if nonce is None else nonce,
            slug=slug,
            slow_seconds=slow_seconds,
            address=address if identity.is_guest else "",
            formerly=identity.formerly,
            **body,
        )

    @property
    def senders(self) -> tuple[str, ...]:
        """Return the sender and the earlier `user_id`s of its connection."""
        return self.sender, *self.formerly

    @property
    def log_key(self) -> str:
        """The log that the draft belongs to."""
        return room_key(self.room_id)

    @property
    def key(self) -> Key:
        """Return the unique key."""
        return self.room_id, self.sender, self.nonce


class Stored(NamedTuple):
    """A message with its position; `is_new` is false if this write changed nothing."""

    room_id: int
    slug: str
    state: MessageState
    epoch: str
    is_new: bool


class LockedLog(NamedTuple):
    """The values of a locked log."""

    last_seq: int
    epoch: str
    has_spent: bool
    """Whether a draft may repeat a message that was deleted recently."""
    has_pending: bool = False
    """Whether messages of the site's transactions wait for their position."""


def append(
    drafts: Sequence[Draft], *, lock_timeout_ms: int | None = None, bounded: bool = False
) -> list[Stored]:
    """Number and store drafts in one transaction; return the result of each, in order.

    Inside a caller's transaction the rooms stay locked until its commit. With `lock_timeout_ms`,
    PostgreSQL waits no longer than that for the lock of a room, and three seconds for a statement.
    What is pending in the rooms is stored before. Raises what the database raises, and with
    `bounded` a `BacklogError` if more is pending than one transaction numbers; then nothing is
    stored.
    """
    if not drafts:
        return []
    try:
        return _append(drafts, lock_timeout_ms, bounded=bounded)
    except (DataError, IntegrityError):
        # A row was written past the log since the lock, and the next lock repairs the log. Or a
        # message that was pending cannot be stored: another process may have dropped it already.
        for room_id in outbox.waiting_rooms(database(), {draft.room_id for draft in drafts}):
            number_each(room_id)
        return _append(drafts, lock_timeout_ms, bounded=bounded)


def number_pending(room_ids: set[int], *, skip_locked: bool = False) -> tuple[int, bool]:
    """Move the first pending messages of rooms into their logs, in one transaction.

    With `skip_locked`, rooms that another transaction has locked are left out. Returns how many
    there were, and whether there may be more; their signal is sent after the commit. Raises what
    the database raises; then nothing is moved.
    """
    alias = database()
    with own_transaction(alias):
        logs = lock_logs(alias, room_ids, skip_locked=skip_locked)
        taken, has_more = outbox.take(alias, logs)
        drafts = [Draft(**fields) for fields in taken]
        _announce(alias, _store(alias, drafts, logs) if drafts else [])
    return len(drafts), has_more


def number_each(room_id: int) -> int:
    """Move the pending messages of a room into its log, each in its own transaction.

    A message that cannot be stored is dropped with an error in the log, as it would stop its room.
    Returns how many were moved. Stops at one that may be stored later, and raises what the database
    raises otherwise.
    """
    count = 0
    while (moved := _number_first(room_id)) is not None:
        count += moved
    return count


def _number_first(room_id: int) -> bool | None:
    """Move the first pending message of a room; return whether it was stored.

    None if there is none, or none that can be stored or dropped now.
    """
    alias = database()
    with own_transaction(alias):
        lock_logs(alias, {room_id})
        pk = outbox.first(alias, room_id)
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
        outbox.drop(alias, pk)
        # Not the error itself: it may have the text of the message.
        logger.error(DROPPED, room_id, type(second).__name__)
        return False


def _try_one(alias: str, room_id: int, pk: int) -> DataError | IntegrityError | None:
    """Move a pending message of a locked room in a savepoint; return the error."""
    try:
        with transaction.atomic(using=alias):
            logs = lock_logs(alias, {room_id})
            _announce(alias, _store(alias, [Draft(**outbox.take_one(alias, pk))], logs))
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


def import_drafts(drafts: Sequence[Draft]) -> int:
    """Store drafts with their own `created_at`; return how many were not there yet."""
    alias = database()
    wanted = {draft.key: draft for draft in drafts}
    with transaction.atomic(using=alias):
        logs = lock_logs(alias, {draft.room_id for draft in drafts})
        # Messages that were deleted here are not imported again, however long ago that was.
        all_spent = {room_id: end._replace(has_spent=True) for room_id, end in logs.items()}
        for key in spent_ids(alias, wanted, all_spent):
            del wanted[key]
        return len(_insert_by_orm(alias, wanted, logs))


def repair(room_id: int) -> None:
    """Move the end of a log to its last row, if rows were written past the log.

    Raises `IntegrityError` for a room that does not exist.
    """
    alias = database()
    with transaction.atomic(using=alias):
        lock_logs(alias, {room_id})


def newest(room_id: int, limit: int) -> Changes[MessageState]:
    """As `history.newest`, after a repair of the log if there are rows beyond it."""
    changes = history.newest(room_id, limit)
    if not changes.is_behind:
        return changes
    repair(room_id)
    return history.newest(room_id, limit)


def is_number_taken(error: IntegrityError) -> bool:
    """Return whether a row written past the log has taken the position of a message."""
    text = str(error)
    return any(name in text for name in NUMBERS)


def _append(drafts: Sequence[Draft], lock_timeout_ms: int | None, *, bounded: bool) -> list[Stored]:
    alias = database()
    with transaction.atomic(using=alias):
        logs = lock_logs(alias, {draft.room_id for draft in drafts}, lock_timeout_ms)
        rooms = {room_id for room_id, end in logs.items() if end.has_pending}
        pending = list(_take_all(alias, rooms, bounded=bounded)) if rooms else []
        results = _store(alias, [*pending, *drafts], logs)
        if pending:
            _announce(alias, results[: len(pending)])
    return results[len(pending) :]


def _take_all(alias: str, room_ids: set[int], *, bounded: bool) -> Iterator[Draft]:
    has_more = True
    while has_more:
        taken, has_more = outbox.take(alias, room_ids)
        if has_more and bounded:
            raise outbox.BacklogError("much is pending in a room")
        yield from (Draft(**fields) for fields in taken)


def _store(alias: str, drafts: Sequence[Draft], logs: dict[int, LockedLog]) -> list[Stored]:
    is_postgres = connections[alias].vendor == "postgresql"
    insert = _insert_at_once if is_postgres else _insert_by_orm
    wanted: dict[Key, Draft] = {}
    for draft in drafts:
        wanted.setdefault(draft.key, draft)  # a repeat gets the result of the first one
    spent = spent_ids(alias, wanted, logs)
    unspent = {key: one for key, one in wanted.items() if key not in spent}
    new = insert(alias, unspent, logs)
    known = _known(alias, unspent.keys() - new.keys(), spent)
    return _results(drafts, new, known, logs)


def _announce(alias: str, results: Sequence[Stored]) -> None:
    """Send the signal of pending messages after the commit."""
    if new := [one for one in results if one.is_new]:
        send = partial(messages_stored.send_robust, None, stored=new)
        transaction.on_commit(send, using=alias, robust=True)


def _limit_waiting(alias: str, lock_timeout_ms: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true),"
            " set_config('statement_timeout', '3s', true)",
            [f"{lock_timeout_ms}ms"],
        )


def lock_logs(
    alias: str,
    room_ids: set[int],
    lock_timeout_ms: int | None = None,
    *,
    skip_locked: bool = False,
) -> dict[int, LockedLog]:
    """Lock the logs of rooms until the transaction ends, in the order of the rooms.

    Returns their ends. Processes of the last release lock in the same order, during a deploy.
    With `skip_locked`, logs that another transaction has locked are left out.

    A log with rows beyond its end is repaired: a bulk query, a fixture or a dump has written past
    it.
    """
    if lock_timeout_ms is not None and connections[alias].vendor == "postgresql":
        _limit_waiting(alias, lock_timeout_ms)
    logs = _lock(alias, room_ids, skip_locked)
    if missing := room_ids - logs.keys():
        make_logs(alias, missing)
        logs = _lock(alias, room_ids, skip_locked)
    return logs


def _lock(alias: str, room_ids: set[int], skip_locked: bool) -> dict[int, LockedLog]:
    match connections[alias].vendor:
        case "postgresql":
            with connections[alias].cursor() as cursor:
                query = LOCK_LOGS.format(life=life.expression(alias))
                query += " SKIP LOCKED" if skip_locked else ""
                cursor.execute(query, [list(room_ids)])
                rows = cursor.fetchall()
        case "sqlite":
            rows = _lock_in_sqlite(alias, room_ids)
        case _:
            rows = _lock_by_orm(alias, room_ids)
    epochs = life.renew(alias, [life.Life(row[6], row[2], row[1], *row[7:]) for row in rows])
    logs = {}
    for room_id, last_seq, epoch, has_spent, has_pending, last_row, log_id, *_ in rows:
        epoch = epochs.get(log_id, epoch)
        end = LockedLog(last_seq, epoch, bool(has_spent), bool(has_pending))
        is_behind = last_row is not None and last_row > last_seq
        logs[room_id] = _repair(alias, room_id, last_row, end) if is_behind else end
    return logs


def _lock_in_sqlite(alias: str, room_ids: set[int]) -> list[Any]:
    # A transaction that begins with a read cannot always become a writing one.
    marks = ", ".join(["%s"] * len(room_ids))
    since = connections[alias].ops.adapt_datetimefield_value(timezone.now() - SPENT)
    with connections[alias].cursor() as cursor:
        cursor.execute(TOUCH_LOGS.format(marks), [*room_ids])
        cursor.execute(READ_LOGS.format(marks), [since, *room_ids])
        return list(cursor.fetchall())


def _lock_by_orm(alias: str, room_ids: set[int]) -> list[Any]:
    last_row = Message.objects.filter(room=OuterRef("room")).order_by("-changed_seq")
    pending = Pending.objects.filter(room_id=OuterRef("room"))
    columns = ("room_id", "last_seq", "epoch", "deleted_at")
    found = Exists(pending), Subquery(last_row.values("changed_seq")[:1])
    logs = (
        Log.objects.using(alias).filter(room__in=room_ids).select_for_update().order_by("room_id")
    )
    since = timezone.now() - SPENT
    return [
        (*end, deleted_at is not None and deleted_at > since, has_pending, last, pk, "", "")
        for *end, deleted_at, has_pending, last, pk in logs.values_list(*columns, *found, "pk")
    ]


def _repair(alias: str, room_id: int, last_row: int, end: LockedLog) -> LockedLog:
    logs = Log.objects.using(alias).filter(room=room_id)
    epoch = end.epoch
    if last_row > MAX_SEQ:
        last_row, epoch = _renumber(alias, room_id), new_epoch()
        logs.update(purged_seq=0)
    logs.update(last_seq=last_row, epoch=epoch)
    logger.warning("room %s: rows were written past its log; it ends at %s now", room_id, last_row)
    return end._replace(last_seq=last_row, epoch=epoch)


def _renumber(alias: str, room_id: int) -> int:
    """Number a room's rows from 1 on; return the last number.

    A position above 2^53 is not portable in JSON, and the log could not continue. In ascending
    order, no new number is the old one of another row.
    """
    rows = Message.objects.using(alias).filter(room=room_id)
    last = 0
    for pk in list(rows.order_by("seq").values_list("pk", flat=True)):
        last += 1
        rows.filter(pk=pk).update(seq=last, changed_seq=last)
    return last


@receiver(post_save, sender=Message, dispatch_uid="realtime.message")
def _written_past_the_log(instance: Message, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:  # more rows of the fixture follow
        repair(instance.room_id)


# Both run after the lock and in separate statements, so that they see what its last holder
# committed. Both return the states of those drafts whose nonce was not stored.


def _insert_at_once(
    alias: str, wanted: dict[Key, Draft], logs: dict[int, LockedLog]
) -> dict[Key, MessageState]:
    now = timezone.now()
    with connections[alias].cursor() as cursor:
        cursor.execute(_insert_new(alias), [_as_json(alias, wanted.values()), now])
        rows = cursor.fetchall()
    sent_at = timestamp(now)
    return {
        (room_id, sender, nonce): _state(wanted[room_id, sender, nonce], pk, seq, sent_at)
        for room_id, sender, nonce, pk, seq in rows
    }


@cache
def _insert_new(alias: str) -> str:
    connection = connections[alias]
    types = {
        name: Message._meta.get_field(name).db_type(connection) for name in ("user", *BODY_FIELDS)
    }
    return INSERT_NEW.format(
        user_id=types.pop("user"),
        types=", ".join(f"{name} {kind}" for name, kind in types.items()),
        columns=", ".join(BODY_FIELDS),
    )


def _as_json(alias: str, drafts: Iterable[Draft]) -> str:
    prepare = Message._meta.get_field("user").get_db_prep_save
    rows = [
        {
            "number": number,
            "room_id": draft.room_id,
            "sender": draft.sender,
            "user_id": draft.user_pk and prepare(draft.user_pk, connections[alias]),
            "username": draft.username,
            "nonce": draft.nonce,
            **fields_of(draft),
        }
        for number, draft in enumerate(drafts)
    ]
    return msgspec.json.encode(rows, enc_hook=str).decode()


def _state(draft: Draft, pk: int, seq: int, sent_at: str) -> MessageState:
    state = MessageState(
        id=pk,
        seq=seq,
        user_id=draft.sender,
        username=draft.username,
        created_at=sent_at,
        nonce=None if draft.nonce.startswith(MADE_NONCE) else draft.nonce,
    )
    copy_body(draft, state)
    return state


def _insert_by_orm(
    alias: str, wanted: dict[Key, Draft], logs: dict[int, LockedLog]
) -> dict[Key, MessageState]:
    known = known_ids(alias, wanted)
    drafts = [draft for draft in wanted.values() if draft.key not in known]
    new = _numbered(drafts, {room_id: mark.last_seq for room_id, mark in logs.items()})
    Message.objects.using(alias).bulk_create(new.values())
    numbers = Counter(message.room_id for message in new.values())
    with connections[alias].cursor() as cursor:
        cursor.executemany(MOVE_LOG, [(count, room_id) for room_id, count in numbers.items()])
    return {key: state_of(message) for key, message in new.items()}


def _numbered(drafts: Iterable[Draft], ends: dict[int, int]) -> dict[Key, Message]:
    now = timezone.now()
    new: dict[Key, Message] = {}
    for draft in drafts:
        ends[draft.room_id] += 1
        new[draft.key] = Message(
            room_id=draft.room_id,
            seq=ends[draft.room_id],
            changed_seq=ends[draft.room_id],
            sender=draft.sender,
            user_id=draft.user_pk,
            username=draft.username,
            nonce=draft.nonce,
            created_at=draft.created_at or now,
            **fields_of(draft),
        )
    return new


def _known(alias: str, keys: Iterable[Key], spent: dict[Key, int]) -> dict[Key, MessageState]:
    """Return the states of messages with these keys, including deleted ones."""
    found = known_ids(alias, keys) | spent
    rows = Message.objects.using(alias).in_bulk(found.values()) if found else {}
    return {key: state_of(rows[pk]) for key, pk in found.items()}


def known_ids(alias: str, keys: Iterable[Key]) -> dict[Key, int]:
    """Return the primary keys of stored messages with these keys."""
    return _ids(alias, [(key, key) for key in keys])


def spent_ids(alias: str, keys: Iterable[Key], logs: dict[int, LockedLog]) -> dict[Key, int]:
    """Return the primary keys of deleted messages that had these keys.

    Without recent deletions, as in most rooms, there is no query.
    """
    pairs = [
        (key, (key[0], key[1], nonce))
        for key in keys
        if logs[key[0]].has_spent
        for nonce in nonces.may_be_spent_as(*key)
    ]
    return _ids(alias, pairs)


def _ids(alias: str, pairs: list[tuple[Key, Key]]) -> dict[Key, int]:
    """Return the primary keys of messages with the second key of each pair, by the first key."""
    if not pairs:
        return {}
    with connections[alias].cursor() as cursor:
        cursor.execute(
            FIND_NONCES.format(", ".join(["(%s, %s, %s)"] * len(pairs))),
            [value for _, stored in pairs for value in stored],
        )
        found = cursor.fetchall()
    return {key: pk for (key, _), (pk,) in zip(pairs, found, strict=True) if pk is not None}


def _results(
    drafts: Sequence[Draft],
    new: dict[Key, MessageState],
    known: dict[Key, MessageState],
    logs: dict[int, LockedLog],
) -> list[Stored]:
    returned: set[Key] = set()
    results = []
    for draft in drafts:
        key = draft.key
        is_new = key in new and key not in returned
        returned.add(key)
        state = new[key] if key in new else known[key]
        results.append(Stored(draft.room_id, draft.slug, state, logs[draft.room_id].epoch, is_new))
    return results
