"""The subscription of a connection to a room, and the fields of the room for its client."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from ...engine.delivery.room_topic import RoomTopic
from ...models import Sanction
from ...store.rooms.access import RoomAccess
from ...wire.events import Translate, timestamp

__all__ = ["RoomSubscription", "room_fields"]

HOUR = 60 * 60
TYPING_SECONDS = 1.0
"""The least time between two typing events of a client."""


@dataclass(slots=True)
class RoomSubscription:
    """A room that a connection has joined, with its access to the room."""

    access: RoomAccess
    topic: RoomTopic
    since: datetime
    """When the connection entered the room."""
    is_recheck_due: bool = False
    """Whether the rights have changed since the access was read."""
    is_removed: bool = False
    """Whether the client has got a `removed` event."""
    reminder: asyncio.TimerHandle | None = None
    typed_at: float | None = None
    """The time of the last typing event of this client."""

    def schedule_recheck(self, recheck: Callable[[str], None]) -> None:
        """Check the rights again when a mute ends, and once an hour until then."""
        self.cancel_recheck()
        if (until := self.access.until) is not None:
            left = max(0.0, (until - timezone.now()).total_seconds())
            loop = asyncio.get_running_loop()
            self.reminder = loop.call_later(min(left, HOUR), recheck, self.access.slug)

    def may_send_typing(self, now: float) -> bool:
        """Return whether the room gets a typing event of this client now."""
        if self.typed_at is not None and now - self.typed_at < TYPING_SECONDS:
            return False
        self.typed_at = now
        return True

    def cancel_recheck(self) -> None:
        """Cancel the next check."""
        if self.reminder is not None:
            self.reminder.cancel()

    @property
    def is_stale(self) -> bool:
        """Whether the access may have changed since it was read."""
        until = self.access.until
        is_over = until is not None and until <= timezone.now()
        return (
            is_over or self.is_recheck_due or self.access.rights_seq < self.topic.members_rights_seq
        )


def room_fields(entry: RoomAccess, translate: Translate) -> dict[str, Any]:
    """Return the fields of a room that a client gets beside its log."""
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
