"""The statements of numbering: take what is pending, find what is stored, write what is planned.

On PostgreSQL each is one statement for all logs of a batch; other databases get the ORM's.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from ...models import Entry, Log, Pending
from .drafts import EntryDraft, Kind
from .logs import LockedTopicLog, lock_query, locked_logs
from .plan import EntryRow, Held, NameInLog, Plan

__all__ = [
    "BATCH",
    "KINDS",
    "find",
    "is_full",
    "lock_and_take",
    "take",
    "topics_without_log",
    "write",
]

BATCH = 1000
"""The most pending entries that one transaction numbers."""
BATCH_BYTES = 8 * 1024 * 1024
"""The most bytes of data that one transaction numbers, so that a statement ends in its time."""
KINDS = tuple(kind.value for kind in Kind if kind is not Kind.EXPIRE)
"""What this version can number; a newer one may publish more, during a rolling deploy."""
# The table is empty most of the time, and PostgreSQL plans as if it were. So the keys are an array,
# which it cannot join row by row, and `id + 0` keeps it from reading the rows of all topics.
TAKE = """
    WITH first AS (
        SELECT id, octet_length(data) AS size FROM realtime_pending
        WHERE topic = ANY(%s) AND kind = ANY(%s) ORDER BY id + 0 LIMIT %s
    ), summed AS (
        SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM first
    ), taken AS (
        DELETE FROM realtime_pending
        WHERE id = ANY(ARRAY(SELECT id FROM summed WHERE before < %s))
        RETURNING id, topic, kind, type, key, data, sender, nonce, expires_seconds, created_at
    )
    SELECT clock_timestamp(), taken.* FROM (SELECT 1) AS one LEFT JOIN taken ON true ORDER BY id
"""
PENDING_FIELDS = (
    *("topic", "kind", "type", "key"),
    *("data", "sender", "nonce", "expires_seconds", "created_at"),
)
# One index probe for each key or nonce. For a plain join, PostgreSQL may read whole tables.
FIND = """
    SELECT wanted.log_id, wanted.name, entry.*
    FROM json_to_recordset(%s) AS wanted(log_id bigint, name text)
    CROSS JOIN LATERAL (
        SELECT {columns} FROM realtime_entry
        WHERE log_id = wanted.log_id AND {column} = wanted.name LIMIT 1
    ) AS entry
"""
HELD_FIELDS = (
    *("id", "type", "data", "changed_seq", "key"),
    *("is_deleted", "at", "nonce", "expires_at"),
)
COLUMNS = EntryRow.__struct_fields__
TYPES = (
    "log_id bigint, seq bigint, type text, key text, data text, sender text, nonce text,"
    " at timestamptz, created_at timestamptz, expires_at timestamptz, is_deleted boolean"
)
CHANGED = [name for name in COLUMNS if name not in ("log_id", "seq", "key")]
WRITE = f"""
    WITH stored AS (
        INSERT INTO realtime_entry ({", ".join(COLUMNS)}, changed_seq)
        SELECT {", ".join(COLUMNS)}, seq
        FROM json_to_recordset(%s) AS draft({TYPES})
        ON CONFLICT (log_id, key) WHERE key IS NOT NULL DO UPDATE SET
            changed_seq = excluded.changed_seq,
            {", ".join(f"{name} = excluded.{name}" for name in CHANGED)}
    )
    UPDATE realtime_head AS log
    SET last_seq = moved.last_seq, rights_seq = moved.rights_seq, last_at = moved.last_at
    FROM json_to_recordset(%s) AS moved(
        id bigint, last_seq bigint, rights_seq bigint, last_at timestamptz
    )
    WHERE log.id = moved.id AND log.id = ANY(%s)
"""  # noqa: S608 - names of columns
PROLONG = """
    UPDATE realtime_entry AS entry SET expires_at = later.expires_at
    FROM json_to_recordset(%s) AS later(id bigint, expires_at timestamptz)
    WHERE entry.id = later.id
"""

Wanted = Collection[NameInLog]


def take(alias: str, names: Collection[str]) -> tuple[datetime, list[EntryDraft]]:
    """Delete the first pending entries of locked topics; return the time and their drafts."""
    if connections[alias].vendor != "postgresql":
        return _take_by_orm(alias, names)
    with connections[alias].cursor() as cursor:
        cursor.execute(TAKE, _take_parameters(names))
        return _taken(cursor.fetchall())


def lock_and_take(
    alias: str, names: Collection[str], before: Sequence[str]
) -> tuple[dict[str, LockedTopicLog], datetime, list[EntryDraft]]:
    """Lock logs and take what is pending in them, after the statements `before`, all at once.

    The rows of a topic without a log are taken too: then the caller has to roll back.
    """
    ordered = sorted(names)
    statements = [*before, lock_query(alias), TAKE]
    with connections[alias].cursor() as cursor:
        cursor.execute(";".join(statements), [ordered, *_take_parameters(ordered)])
        for _ in before:
            cursor.nextset()
        locked = cursor.fetchall()
        cursor.nextset()
        now, pending = _taken(cursor.fetchall())
    return locked_logs(alias, locked), now, pending


def _take_parameters(names: Collection[str]) -> list[Any]:
    return [list(names), list(KINDS), BATCH, BATCH_BYTES]


def _taken(found: Sequence[Any]) -> tuple[datetime, list[EntryDraft]]:
    return found[0][0], [_draft(*row[1:]) for row in found if row[1] is not None]


def is_full(drafts: Collection[EntryDraft]) -> bool:
    """Return whether there may be more than these that were taken."""
    return len(drafts) == BATCH or sum(len(one.data) for one in drafts) > BATCH_BYTES // 8


def topics_without_log(alias: str, names: Collection[str]) -> set[str]:
    """Return those of some topics that have pending entries to number, but no log."""
    if not names:
        return set()
    pending: Any = Pending.objects.using(alias).filter(topic__in=names, kind__in=KINDS)
    found: set[str] = set(pending.values_list("topic", flat=True).distinct())
    if found:
        found -= set(Log.objects.using(alias).filter(name__in=found).values_list("name", flat=True))
    return found


def find(
    alias: str, logs: dict[str, LockedTopicLog], drafts: Sequence[EntryDraft]
) -> tuple[dict[NameInLog, Held], dict[NameInLog, Held]]:
    """Return the stored entries with the keys of drafts, and those with their nonces."""
    keys = {(logs[one.topic].id, one.key) for one in drafts if one.key is not None}
    nonces = {(logs[one.topic].id, one.nonce) for one in drafts if one.nonce is not None}
    find = _find if connections[alias].vendor == "postgresql" else _find_by_orm
    return (
        find(alias, "key", keys) if keys else {},
        find(alias, "nonce", nonces) if nonces else {},
    )


def write(alias: str, plan: Plan) -> None:
    """Write what a plan changes, and the ends of its logs."""
    moved = [log for log in plan.logs.values() if log.id in plan.changed]
    if connections[alias].vendor != "postgresql":
        _write_by_orm(alias, plan, moved)
        return
    with connections[alias].cursor() as cursor:
        if moved:
            # The list of keys tells PostgreSQL how few they are: it would read the whole table.
            ends, pks = _json([_end(log) for log in moved]), [log.id for log in moved]
            cursor.execute(WRITE, [_json(plan.rows), ends, pks])
        if plan.prolonged:
            later = [{"id": pk, "expires_at": at} for pk, at in plan.prolonged.items()]
            cursor.execute(PROLONG, [_json(later)])


def _find(alias: str, column: str, wanted: Wanted) -> dict[NameInLog, Held]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            FIND.format(columns=", ".join(HELD_FIELDS), column=column),
            [_json([{"log_id": log_id, "name": name} for log_id, name in wanted])],
        )
        return {(row[0], row[1]): Held(*row[2:]) for row in cursor.fetchall()}


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


def _end(log: LockedTopicLog) -> dict[str, Any]:
    return {
        "id": log.id,
        "last_seq": log.last_seq,
        "rights_seq": log.rights_seq,
        "last_at": log.last_at,
    }


def _draft(pk: int, *fields: Any) -> EntryDraft:
    return EntryDraft(**dict(zip(PENDING_FIELDS, fields, strict=True)))


# Other databases.


def _take_by_orm(alias: str, names: Collection[str]) -> tuple[datetime, list[EntryDraft]]:
    pending = Pending.objects.using(alias)
    known = pending.filter(topic__in=names, kind__in=KINDS)
    waiting = known.order_by("pk").values_list("pk", *PENDING_FIELDS)
    found = list(waiting[:BATCH])
    if found:
        pending.filter(pk__in=[row[0] for row in found]).delete()
    return timezone.now(), [_draft(*row) for row in found]


def _find_by_orm(alias: str, column: str, wanted: Wanted) -> dict[NameInLog, Held]:
    by_log: dict[int, list[str]] = {}
    for log_id, name in wanted:
        by_log.setdefault(log_id, []).append(name)
    found: dict[NameInLog, Held] = {}
    for log_id, names in by_log.items():
        entries = Entry.objects.using(alias).filter(Q((f"{column}__in", names)), log=log_id)
        for row in entries.values_list(column, *HELD_FIELDS):
            found[log_id, row[0]] = Held(*row[1:])
    return found


def _write_by_orm(alias: str, plan: Plan, moved: Iterable[LockedTopicLog]) -> None:
    entries = Entry.objects.using(alias)
    new: list[Entry] = []
    for row in plan.rows:
        held = None if row.key is None else plan.held.get((row.log_id, row.key))
        if held is None:
            new.append(Entry(changed_seq=row.seq, **msgspec.structs.asdict(row)))
        else:
            values = {name: getattr(row, name) for name in CHANGED}
            entries.filter(pk=held.pk).update(changed_seq=row.seq, **values)
    entries.bulk_create(new)
    for pk, at in plan.prolonged.items():
        entries.filter(pk=pk).update(expires_at=at)
    for log in moved:
        Log.objects.using(alias).filter(pk=log.id).update(**_end(log))
