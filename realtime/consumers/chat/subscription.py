"""A room that a connection is in, and what its client knows of it beside the log."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from ...engine.delivery.topic import RoomTopic
from ...models import Sanction
from ...store.rooms.access import RoomAccess
from ...wire.events import Translate, timestamp

__all__ = ["RoomSubscription", "room_fields"]

HOUR = 60 * 60
TYPING_SECONDS = 1.0
"""How often the room is told that a client is typing."""


@dataclass(slots=True)
class RoomSubscription:
    """A room this connection is in, and what it may do there."""

    access: RoomAccess
    topic: RoomTopic
    since: datetime
    """When the connection entered the room."""
    is_doubtful: bool = False
    """Whether its rights have changed since they were asked for."""
    reminder: asyncio.TimerHandle | None = None
    typed_at: float | None = None
    """When the room was last told that this client is typing."""

    def schedule_recheck(self, recheck: Callable[[str], None]) -> None:
        """Ask again once what was decided ends; what lasts longer is looked at now and then."""
        self.cancel_recheck()
        if (until := self.access.until) is not None:
            left = max(0.0, (until - timezone.now()).total_seconds())
            loop = asyncio.get_running_loop()
            self.reminder = loop.call_later(min(left, HOUR), recheck, self.access.slug)

    def may_tell_typing(self, now: float) -> bool:
        """Whether it is time to tell the room again that this client is typing."""
        if self.typed_at is not None and now - self.typed_at < TYPING_SECONDS:
            return False
        self.typed_at = now
        return True

    def cancel_recheck(self) -> None:
        """Do not ask again."""
        if self.reminder is not None:
            self.reminder.cancel()

    @property
    def is_stale(self) -> bool:
        """Whether what was decided on entering may not be so any more."""
        until = self.access.until
        is_over = until is not None and until <= timezone.now()
        return is_over or self.is_doubtful or self.access.rights_seq < self.topic.room_rights_seq


def room_fields(entry: RoomAccess, translate: Translate) -> dict[str, Any]:
    """Return what a client is told of a room beside its log."""
    return {
        "role": entry.role,
        "rights": entry.rights,
        "title": entry.title,
        "kind": entry.kind,
        "slow_seconds": entry.slow_seconds,
        "read_only": entry.is_read_only,
        "muted": None if entry.muted is None else translate(entry.muted),
        "muted_until": _end_of(entry.mute),
        "request": entry.is_request,
    }


def _end_of(mute: Sanction | None) -> str | None:
    ends_at = None if mute is None else mute.ends_at
    return None if ends_at is None else timestamp(ends_at)
