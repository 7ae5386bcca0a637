"""Store messages in locked logs of rooms; the only place where a message gets its position.

An append is idempotent: a message that is sent again with the same nonce is not stored again
(deduplication). On PostgreSQL the database numbers a batch itself, in one statement. That takes a
third of the processor time of the ORM's several, which other databases get (docs/performance.md).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
from django.db import connections, transaction
from django.utils import timezone

from ...models import Message
from ...wire.body import BODY_FIELDS, copy_body, fields_of
from ...wire.events import MessageState, timestamp
from ..database.alias import database
from ..logs import MADE_NONCE
from . import nonces
from .drafts import Draft, Key, Stored
from .history import state_of
from .logs import LockedRoomLog, lock_logs

__all__ = ["import_drafts", "known_ids", "spent_ids", "store"]

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


def store(alias: str, drafts: Sequence[Draft], logs: dict[int, LockedRoomLog]) -> list[Stored]:
    """Give drafts their positions in locked logs, and store them; return the result of each."""
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


def known_ids(alias: str, keys: Iterable[Key]) -> dict[Key, int]:
    """Return the primary keys of stored messages with these keys."""
    return _ids(alias, [(key, key) for key in keys])


def spent_ids(alias: str, keys: Iterable[Key], logs: dict[int, LockedRoomLog]) -> dict[Key, int]:
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


# Both run after the lock and in separate statements, so that they see what its last holder
# committed. Both return the states of those drafts whose nonce was not stored.


def _insert_at_once(
    alias: str, wanted: dict[Key, Draft], logs: dict[int, LockedRoomLog]
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
    alias: str, wanted: dict[Key, Draft], logs: dict[int, LockedRoomLog]
) -> dict[Key, MessageState]:
    known = known_ids(alias, wanted)
    drafts = [draft for draft in wanted.values() if draft.key not in known]
    new = _numbered(drafts, {room_id: mark.last_seq for room_id, mark in logs.items()})
    Message.objects.using(alias).bulk_create(new.values())
    numbers = Counter(message.room_id for message in new.values())
    with connections[alias].cursor() as cursor:
        moves = [(count, room_id) for room_id, count in numbers.items()]
        if len(moves) == 1:  # `executemany` fails on SQLite if Django Debug Toolbar records it
            cursor.execute(MOVE_LOG, moves[0])
        else:
            cursor.executemany(MOVE_LOG, moves)
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
    logs: dict[int, LockedRoomLog],
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
