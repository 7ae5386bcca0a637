"""Remove old rows; call it daily, from a job or a scheduler.

retention.prune()
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.utils import timezone

from .conf import config
from .logs import get_logger
from .store.moderation import actions, erasing, reports
from .store.outbox import pending
from .store.topics import retention as entries
from .topics.registry import registry

__all__ = ["Pruned", "aprune", "prune"]

logger = get_logger("realtime.retention")

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
    entries: int = 0
    """Events and deleted keys of topics."""
    logs: int = 0
    """Logs of topics that were empty and idle."""


def prune() -> Pruned:
    """Erase old messages of guests, and remove closed reports, ended sanctions and old entries.

    With `GUEST_MESSAGE_DAYS`, messages of guests become tombstones that long after they were
    written. Events of a topic are removed after the time that its class keeps them. It may be
    repeated, and may run twice at the same time.
    """
    pending.sweep()  # what waits for its position, if no server process runs
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
        sum(map(_purge, entries.topic_names())),
        entries.delete_idle_logs(timezone.now() - timedelta(days=LEAST_DAYS)),
    )


def _purge(name: str) -> int:
    """Remove what a topic need not keep; without a class of today, it keeps everything."""
    before = _before(registry.keep_of(name))
    if before is None:
        return 0
    try:
        return entries.purge(name, before)
    except DatabaseError as error:
        logger.warning("topic %s: its old entries are left to the next call: %r", name, error)
        return 0


def _before(keep: timedelta | None) -> datetime | None:
    try:
        return None if keep is None else timezone.now() - keep
    except OverflowError:  # `timedelta.max` keeps them for ever
        return None


async def aprune() -> Pruned:
    """Erase old messages of guests, and remove closed reports, ended sanctions and old entries."""
    return await sync_to_async(prune)()
