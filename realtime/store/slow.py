"""Slow mode: who has spoken in a room waits before speaking there again.

Judged under the lock of the room's head, so that many sockets on many servers do not help.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from ..models import Message
from ..wire.errors import CommandError, ErrorCode
from . import log
from .history import database
from .log import Draft, Key, Stored

__all__ = ["append"]

Voice = tuple[int, str]
"""A sender in a room."""


def append(
    drafts: Sequence[Draft], *, lock_timeout_ms: int | None = None
) -> list[Stored | CommandError]:
    """As `log.append`, but a draft that comes too soon is refused with `rate_limited`.

    What was stored before is not judged again: its repeat gets the first one's result.
    """
    slow = {draft.key: draft for draft in drafts if draft.slow_seconds}
    if not slow:
        return list(log.append(drafts, lock_timeout_ms=lock_timeout_ms))
    alias = database()
    with transaction.atomic(using=alias):
        log.lock_heads(alias, {draft.room_id for draft in drafts}, lock_timeout_ms)
        known = log.known_ids(alias, slow)
        refused = _refused([draft for key, draft in slow.items() if key not in known])
        stored = iter(log.append([draft for draft in drafts if draft.key not in refused]))
        return [refused.get(draft.key) or next(stored) for draft in drafts]


def _refused(drafts: Sequence[Draft]) -> dict[Key, CommandError]:
    now = timezone.now()
    spoke = _last_spoken(drafts, now)
    refused: dict[Key, CommandError] = {}
    for draft in drafts:
        voice = (draft.room_id, draft.sender)
        ago = (now - spoke[voice]).total_seconds() if voice in spoke else draft.slow_seconds
        if ago < draft.slow_seconds:
            # Another host's clock may be ahead: nobody waits longer than the room asks for.
            refused[draft.key] = _too_soon(draft.slow_seconds - max(0.0, ago))
        else:
            spoke[voice] = now
    return refused


def _last_spoken(drafts: Sequence[Draft], now: datetime) -> dict[Voice, datetime]:
    if not drafts:
        return {}
    longest = max(draft.slow_seconds for draft in drafts)
    rows = (
        Message.objects.using(database())
        .filter(room__in={draft.room_id for draft in drafts})
        .filter(sender__in={draft.sender for draft in drafts})
        .filter(created_at__gt=now - timedelta(seconds=longest))
        .order_by()
        .values_list("room_id", "sender")
        .annotate(last=Max("created_at"))
    )
    return {(room_id, sender): last for room_id, sender, last in rows}


def _too_soon(wait: float) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED, "this room is in slow mode: wait a little", retry_after=wait
    )
