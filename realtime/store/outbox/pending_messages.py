"""Messages that wait for their position: pending rows, written with the site's own transaction.

`room_numbering.py` moves them into the logs of their rooms. SQLite has none.
"""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import OperationalError, connections
from django.db.models import DateTimeField, Func
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ...logs import get_logger
from ...models import Message, Pending
from ...wire.body import fields_of
from ...wire.errors import CommandError, ErrorCode
from ..messages.drafts import Draft

__all__ = [
    "BATCH",
    "BacklogError",
    "check",
    "drop",
    "first",
    "insert",
    "take",
    "take_one",
    "waiting_rooms",
]

logger = get_logger("realtime.log")

BATCH = 1000
"""The most pending messages that one transaction numbers."""
BATCH_BYTES = 1024 * 1024
"""The bytes of data after which a transaction takes no further message."""
# An array and `id + 0`, because PostgreSQL plans as if the table were empty, as it mostly is.
TAKE = """
    WITH first AS (
        SELECT id, octet_length(data) AS size FROM realtime_pending
        WHERE room_id = ANY(%s) AND kind = 'message' ORDER BY id + 0 LIMIT %s
    ), summed AS (
        SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM first
    ), taken AS (
        DELETE FROM realtime_pending
        WHERE id = ANY(ARRAY(SELECT id FROM summed WHERE before < %s))
        RETURNING id, room_id, sender, nonce, data
    )
    SELECT room_id, sender, nonce, data FROM taken ORDER BY id
"""
COLUMNS = ("room_id", "sender", "nonce", "data")
UNDECODABLE = "room %s: a message of the site is dropped, because it cannot be decoded: %s"
LIMITED = ("sender", "username", "nonce")
"""The fields of a message that have a longest length."""


class ClockTimestamp(Func):
    """The time of the database now, not that of the transaction's begin: `sweep` compares it."""

    function = "clock_timestamp"
    output_field = DateTimeField()


class BacklogError(OperationalError):
    """More is pending in a log than one transaction numbers: it has to be numbered first."""


def check(draft: Draft) -> None:
    """Refuse a draft that could not be stored; an error after the commit would lose it.

    Raises `CommandError` with `invalid_message`.
    """
    for name in LIMITED:
        field: Any = Message._meta.get_field(name)
        if len(getattr(draft, name)) > field.max_length:
            message = _("A message has a sender, a name or a nonce that is too long.")
            raise CommandError(ErrorCode.INVALID_MESSAGE, message)
    text = "".join([draft.content, *(getattr(draft, name) for name in LIMITED)])
    if "\x00" in text or text.encode(errors="replace").decode() != text:
        message = _("A message must not have NUL or surrogates.")
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)


def insert(alias: str, draft: Draft) -> None:
    """Write the pending row of a draft."""
    fields = {
        **fields_of(draft),
        "username": draft.username,
        "user_pk": draft.user_pk,
        "slug": draft.slug,
    }
    Pending.objects.using(alias).create(
        kind=Pending.Kind.MESSAGE,
        room_id=draft.room_id,
        sender=draft.sender,
        nonce=draft.nonce,
        data=msgspec.json.encode(fields, enc_hook=str).decode(),
        created_at=ClockTimestamp() if connections[alias].vendor == "postgresql" else Now(),
    )


def take(alias: str, room_ids: Collection[int], limit: int = BATCH) -> tuple[list[Draft], bool]:
    """Delete the first pending messages of locked rooms.

    Returns their drafts, and whether there may be more. A message that cannot be decoded has no
    draft: it is dropped with an error in the log, as it would stop its room.
    """
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute(TAKE, [list(room_ids), limit, BATCH_BYTES])
            rows = cursor.fetchall()
    else:
        rows = _take_by_orm(alias, room_ids, limit)
    size = sum(len(row[-1].encode()) for row in rows)
    return _drafts(alias, rows), len(rows) == limit or size >= BATCH_BYTES


def first(alias: str, room_id: int) -> int | None:
    """Return the primary key of the first pending message of a room."""
    waiting = Pending.objects.using(alias).filter(room_id=room_id, kind=Pending.Kind.MESSAGE)
    return waiting.order_by("pk").values_list("pk", flat=True).first()


def take_one(alias: str, pk: int) -> list[Draft]:
    """As `take`, for one pending message of a locked room."""
    rows = list(Pending.objects.using(alias).filter(pk=pk).values_list(*COLUMNS))
    drop(alias, pk)
    return _drafts(alias, rows)


def drop(alias: str, pk: int) -> None:
    """Delete a pending message of a locked room."""
    Pending.objects.using(alias).filter(pk=pk).delete()


def waiting_rooms(alias: str, room_ids: Collection[int]) -> list[int]:
    """Return those of some rooms that have pending messages, in ascending order."""
    waiting = Pending.objects.using(alias).filter(room_id__in=room_ids, kind=Pending.Kind.MESSAGE)
    found: Any = waiting.order_by("room_id").values_list("room_id", flat=True).distinct()
    return list(found)


def _drafts(alias: str, rows: Iterable[Any]) -> list[Draft]:
    found = [draft for row in rows if (draft := _draft(*row)) is not None]
    _forget_deleted_users(alias, found)
    return found


def _draft(room_id: int, sender: str, nonce: str, data: str) -> Draft | None:
    to_python: Any = get_user_model()._meta.pk.to_python
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
        fields |= {"room_id": room_id, "sender": sender, "nonce": nonce}
        draft = msgspec.convert(fields, Draft)
        draft.user_pk = to_python(draft.user_pk)
    except (msgspec.DecodeError, ValidationError) as error:
        # Not the error itself: it may have the text of the message.
        logger.error(UNDECODABLE, room_id, type(error).__name__)
        return None
    return draft


def _take_by_orm(alias: str, room_ids: Collection[int], limit: int) -> list[Any]:
    pending = Pending.objects.using(alias)
    waiting = pending.filter(room_id__in=room_ids, kind=Pending.Kind.MESSAGE).order_by("pk")
    rows = list(waiting.values_list("pk", *COLUMNS)[:limit])
    pending.filter(pk__in=[row[0] for row in rows]).delete()
    return [row[1:] for row in rows]


def _forget_deleted_users(alias: str, found: list[Draft]) -> None:
    """Clear the user of messages whose user was deleted meanwhile, as for stored messages."""
    users = get_user_model()._base_manager.using(alias)
    wanted = {draft.user_pk for draft in found if draft.user_pk is not None}
    known = set(users.filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    for draft in found:
        if draft.user_pk not in known:
            draft.user_pk = None
