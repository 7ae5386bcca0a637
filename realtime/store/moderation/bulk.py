"""Delete the texts of many messages: a batch is one transaction with a few queries."""

from collections import defaultdict
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from ...models import Log, Message
from ...signals import messages_stored
from ..accounts.identity import Identity
from ..database.alias import database
from ..messages import changes
from ..messages.drafts import Stored
from ..messages.history import state_of
from ..messages.logs import LockedRoomLog, lock_logs
from . import audit
from .reports import resolve

__all__ = ["BATCH", "delete_texts"]

BATCH = 200
"""The messages of one transaction: it locks the logs of all their rooms."""


def delete_texts(message_ids: Sequence[int], by: Identity | None = None) -> int:
    """Delete the texts of at most `BATCH` messages, as `actions.delete` does; return how many.

    Messages that do not exist, or were deleted before, are left out.
    """
    alias = database()
    rows = Message.objects.using(alias).filter(pk__in=message_ids)
    with transaction.atomic(using=alias):
        logs = lock_logs(alias, set(rows.values_list("room", flat=True)))
        found = list(rows.filter(deleted_at=None).select_related("room").order_by("pk"))
        ends = _empty(found, logs)
        Message.objects.using(alias).bulk_update(
            found, [*changes.EMPTIED, "changed_seq"], batch_size=100
        )
        _move(alias, ends)
        audit.record_all(by, found, audit.DELETION, "deleted the text")
        resolve([one.pk for one in found], by)
        stored = [
            Stored(one.room_id, one.room.slug, state_of(one), logs[one.room_id].epoch, True)
            for one in found
        ]
        messages_stored.send(None, stored=stored)
    return len(found)


def _empty(found: Sequence[Message], logs: dict[int, LockedRoomLog]) -> dict[int, int]:
    """Turn messages into tombstones, without saving them; return the new ends of the logs."""
    ends: dict[int, int] = defaultdict(int)
    for message in found:
        room_id = message.room_id
        ends[room_id] = max(ends[room_id], logs[room_id].last_seq) + 1
        changes.empty(message)
        message.changed_seq = ends[room_id]
    return ends


def _move(alias: str, ends: dict[int, int]) -> None:
    logs = list(Log.objects.using(alias).filter(room__in=list(ends)).only("pk", "room"))
    for log in logs:
        log.last_seq, log.deleted_at = ends[log.room_id or 0], timezone.now()
    Log.objects.using(alias).bulk_update(logs, ["last_seq", "deleted_at"])
