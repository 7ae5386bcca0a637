"""Write what is published to topics into the open transaction, as rows of `Pending`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from django.db import connections
from django.utils import timezone

from ...models import Pending
from ..database.postponed import Postponed, can_postpone
from ..topics.drafts import EntryDraft

__all__ = ["Gathering", "insert"]

COLUMNS = ("topic", "kind", "type", "key", "data", "sender", "nonce", "expires_seconds")
INSERT = f"""
    INSERT INTO realtime_pending ({", ".join(COLUMNS)}, created_at)
    VALUES ({", ".join(["%s"] * len(COLUMNS))}, clock_timestamp())
"""  # noqa: S608 - names of columns
INSERT_MANY = f"""
    INSERT INTO realtime_pending ({", ".join(COLUMNS)}, created_at)
    SELECT {", ".join(COLUMNS)}, clock_timestamp()
    FROM json_to_recordset(%s) AS draft(
        number int, topic text, kind text, type text, key text, data text, sender text,
        nonce text, expires_seconds double precision
    )
    ORDER BY number
"""  # noqa: S608
SINGLY = 20
"""So many calls of a transaction write at once; then their drafts are gathered."""
GATHERED_DRAFTS, GATHERED_BYTES = 500, 1024 * 1024
"""The most drafts that are gathered, and the size of their data at which they are written."""


class Gathering:
    """Writes what one transaction publishes: the first drafts at once, many others together.

    `hook` is registered by `on_commit` before each draft.
    """

    def __init__(self, alias: str, hook: Callable[[], object]) -> None:
        self._alias = alias
        self._hook = hook
        self._calls = 0
        self._size = 0
        self._postponed: Postponed[EntryDraft] | None = None

    def publish(self, drafts: Sequence[EntryDraft]) -> None:
        """Write drafts before the next statement or the commit, in their order."""
        self._calls += 1
        if self._calls > SINGLY and len(drafts) == 1:
            self._gather(drafts[0])
        else:
            insert(self._alias, drafts)

    def _gather(self, draft: EntryDraft) -> None:
        connection = connections[self._alias]
        if connection.needs_rollback:
            self._postponed = None  # the statement of the next draft raises an exception
        if self._postponed is None or self._postponed.is_over:
            if not can_postpone(connection):
                insert(self._alias, [draft])
                return
            self._postponed = Postponed(connection, partial(insert, self._alias), self._hook)
            self._size = 0
        self._postponed.items.append(draft)
        self._size += len(draft.data)
        if len(self._postponed.items) == GATHERED_DRAFTS or self._size > GATHERED_BYTES:
            self._postponed.execute()


def insert(alias: str, drafts: Sequence[EntryDraft]) -> None:
    """Insert a row for each draft, by one statement."""
    if connections[alias].vendor != "postgresql":
        _insert_by_orm(alias, drafts)
        return
    with connections[alias].cursor() as cursor:
        if len(drafts) == 1:
            cursor.execute(INSERT, _values(drafts[0]))
        else:
            rows = [
                dict(zip(COLUMNS, _values(draft), strict=True), number=number)
                for number, draft in enumerate(drafts)
            ]
            cursor.execute(INSERT_MANY, [msgspec.json.encode(rows).decode()])


def _insert_by_orm(alias: str, drafts: Sequence[EntryDraft]) -> None:
    now = timezone.now()
    Pending.objects.using(alias).bulk_create(
        Pending(created_at=now, **dict(zip(COLUMNS, _values(draft), strict=True)))
        for draft in drafts
    )


def _values(draft: EntryDraft) -> list[Any]:
    return [
        draft.topic,
        draft.kind,
        draft.type,
        draft.key,
        draft.data,
        draft.sender,
        draft.nonce,
        draft.expires_seconds,
    ]
