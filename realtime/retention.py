"""Remove old rows; call it daily, from a job or a scheduler.

retention.prune()
"""

from datetime import timedelta
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.utils import timezone

from .conf import config
from .store.moderation import actions, erasing, reports

__all__ = ["Pruned", "aprune", "prune"]

LEAST_DAYS = 7
"""Younger messages may still be sent again by their sender, or resumed by other clients."""
GUEST_NAME = "Guest"
"""Not translated: in another language, all the erased messages would be written again."""


class Pruned(NamedTuple):
    """How many rows of each kind were emptied or removed."""

    guest_messages: int
    nonces: int
    reports: int
    sanctions: int


def prune() -> Pruned:
    """Erase old messages of guests, and remove closed reports and ended sanctions.

    With `GUEST_MESSAGE_DAYS`, messages of guests become tombstones that long after they were
    written. It may be repeated, and may run twice at the same time.
    """
    settings, messages = config(), 0
    if settings.guest_message_days:
        before = timezone.now() - timedelta(days=max(LEAST_DAYS, settings.guest_message_days))
        messages = sum(erasing.erase_guests(before, GUEST_NAME))
    days = settings.ended_sanction_days
    return Pruned(
        messages,
        erasing.scrub_nonces(),
        reports.delete_closed(days),
        actions.delete_ended(days),
    )


async def aprune() -> Pruned:
    """Erase old messages of guests, and remove closed reports and ended sanctions."""
    return await sync_to_async(prune)()
