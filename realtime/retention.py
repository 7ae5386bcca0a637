"""Remove old rows; call it daily, from a job or a scheduler, or as `manage.py realtime_prune`.

retention.prune()
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone

from .conf import config
from .logs import get_logger
from .models import Room
from .models.rooms import LEAST_DAYS
from .store.database.transactions import is_rolled_back
from .store.messages import retention as messages
from .store.moderation import actions, erasing, reports
from .store.outbox import pending
from .store.topics import retention as entries
from .topics.registry import registry

__all__ = ["Part", "Pruned", "aprune", "due", "in_parts", "is_held", "of_room", "of_topic", "prune"]

logger = get_logger("realtime.retention")

GUEST_NAME = "Guest"
"""Not translated: in another language, all the erased messages would be written again."""
LEFT_ROOM = "room %s: its old rows are left to the next call: %r"
LEFT_TOPIC = "topic %s: its old rows are left to the next call: %r"


class Pruned(NamedTuple):
    """How many rows of each kind were emptied or removed."""

    guest_messages: int
    nonces: int
    reports: int
    sanctions: int
    messages: int = 0
    """Messages of rooms with an age at which they are removed."""
    entries: int = 0
    """Events and deleted keys of topics."""
    logs: int = 0
    """Logs of topics that were empty and idle."""


class Part(NamedTuple):
    """A part of the work of `prune`, which is committed."""

    kind: str
    """A field of `Pruned`."""
    number: int
    place: str = ""
    """The slug of the room, or the name of the topic."""
    is_skipped: bool = False
    """Whether the place was locked, so that it is left to the next call."""


def prune() -> Pruned:
    """Erase old messages of guests, and remove old messages, entries, reports and sanctions.

    With `GUEST_MESSAGE_DAYS`, messages of guests become tombstones that long after they were
    written. Messages of a room are removed after its `keep_days`, or `MESSAGE_DAYS`; those of a
    room on legal hold never. Events of a topic are removed after the time that its class keeps
    them; the value of a key never. It may be repeated, and may run twice at the same time.
    """
    numbers: Counter[str] = Counter()
    for part in in_parts():
        numbers[part.kind] += part.number
    return Pruned(**{kind: numbers[kind] for kind in Pruned._fields})


def in_parts() -> Iterator[Part]:
    """Do the work of `prune`; each part is committed when the iterator advances."""
    pending.sweep()  # what waits for its position, if no server process runs
    if before := _guests_before():
        yield from (Part("guest_messages", n) for n in erasing.erase_guests(before, GUEST_NAME))
    yield from (Part("nonces", number) for number in erasing.scrub_nonces())
    days = config().ended_sanction_days
    yield Part("reports", reports.delete_closed(days))
    while number := actions.delete_ended(days):
        yield Part("sanctions", number)
    for room in messages.old_rooms(config().message_days):
        yield from _guarded("messages", room.slug, messages.purge(room.pk, room.before))
    for name, topic_before in _topics():
        yield from _guarded("entries", name, entries.purge(name, topic_before))
    yield Part("logs", entries.delete_idle_logs(_idle_since()))


def due() -> Iterator[Part]:
    """Count what `prune` would do, without changing anything."""
    if before := _guests_before():
        yield Part("guest_messages", erasing.due_guests(before, GUEST_NAME))
    days = config().ended_sanction_days
    yield Part("reports", reports.closed(days).count())
    yield Part("sanctions", actions.ended_sanctions(days).count())
    for room in messages.old_rooms(config().message_days):
        yield Part("messages", messages.number_of_old(room.pk, room.before), room.slug)
    for name, topic_before in _topics():
        yield Part("entries", entries.number_of_old(name, topic_before), name)
    yield Part("logs", entries.idle_logs(_idle_since()).count())


def of_room(room: Room, days: float | None = None, *, is_dry: bool = False) -> Iterator[Part]:
    """Remove the old messages of one room in parts; `days` replaces the age of the room."""
    kept = next(one for one in (days, room.keep_days, config().message_days) if one is not None)
    before = messages.end_of(kept, timezone.now())
    if before is None or room.is_held:
        return
    if is_dry:
        yield Part("messages", messages.number_of_old(room.pk, before), room.slug)
    else:
        yield from _guarded("messages", room.slug, messages.purge(room.pk, before))


def of_topic(name: str, days: float | None = None, *, is_dry: bool = False) -> Iterator[Part]:
    """Remove the old entries of one topic in parts; `days` replaces the age of its class."""
    before = _before(registry.keep_of(name) if days is None else timedelta(days=days))
    if before is None or is_held(name):
        return
    if is_dry:
        yield Part("entries", entries.number_of_old(name, before), name)
    else:
        yield from _guarded("entries", name, entries.purge(name, before))


def _guarded(kind: str, place: str, numbers: Iterator[int]) -> Iterator[Part]:
    """Yield the parts of a place; what is locked is left to the next call."""
    try:
        for number in numbers:
            yield Part(kind, number, place)
    except DatabaseError as error:
        if isinstance(error, (OperationalError, InterfaceError)) and not _is_locked(error):
            raise
        logger.warning(LEFT_ROOM if kind == "messages" else LEFT_TOPIC, place, error)
        yield Part(kind, 0, place, is_skipped=True)


def _is_locked(error: DatabaseError) -> bool:
    return is_rolled_back(error) or "locked" in str(error)  # the text is that of SQLite


def _guests_before() -> datetime | None:
    days = config().guest_message_days
    return timezone.now() - timedelta(days=max(LEAST_DAYS, days)) if days else None


def _topics() -> Iterator[tuple[str, datetime]]:
    """Yield the topics that need not keep everything, and until when."""
    for name in entries.topic_names():
        # Without a class of today, a topic keeps everything.
        before = _before(registry.keep_of(name))
        if before is not None and not is_held(name):
            yield name, before


def is_held(name: str) -> bool:
    """Return whether a topic is on legal hold (`HELD_TOPICS`)."""
    return any(fnmatchcase(name, pattern) for pattern in config().held_topics)


def _idle_since() -> datetime:
    return timezone.now() - timedelta(days=LEAST_DAYS)


def _before(keep: timedelta | None) -> datetime | None:
    try:
        return None if keep is None else timezone.now() - keep
    except OverflowError:  # `timedelta.max` keeps them for ever
        return None


async def aprune() -> Pruned:
    """Erase old messages of guests, and remove old messages, entries, reports and sanctions."""
    return await sync_to_async(prune)()
