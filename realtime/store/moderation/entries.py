"""Erase what a user has published to topics: its events are removed, its values deleted.

An entry is known to be the user's only by its sender. What the code of a site has published without
one, or about the user in the data of others, is not.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db.models import Count, Q

from ...models import Entry, Pending
from ..database.alias import database
from ..outbox import topic_numbering
from ..topics import retention
from ..topics.drafts import EntryDraft, Kind

__all__ = ["DueEntries", "due_entries", "erase_entries"]

CHUNK = 500
LOCK_MS = 10_000
"""The longest wait for a topic that others publish to."""
LIVING = Q(key__isnull=True) | Q(is_deleted=False)

IsHeld = Callable[[str], bool]
"""Whether a topic is on legal hold."""


class DueEntries(NamedTuple):
    """How many events and values of a sender can be erased, and how many are on legal hold."""

    due: int
    held: int


def due_entries(sender: str, is_held: IsHeld) -> DueEntries:
    """Count the events and values of a sender, also those without a position."""
    numbers: Counter[bool] = Counter()
    waiting = _pending(sender).filter(kind__in=(Kind.EVENT, Kind.SET))
    for rows, column in ((_entries(sender).filter(LIVING), "log__name"), (waiting, "topic")):
        for name, number in rows.values_list(column).annotate(number=Count("pk")):
            numbers[is_held(name)] += number
    return DueEntries(numbers[False], numbers[True])


def erase_entries(sender: str, is_held: IsHeld) -> Iterator[int]:
    """Erase the events and values of a sender, except on legal hold; yield how many in each part.

    Subscribers are told of deleted values as of any deletion. For events there is no such thing:
    who was away since before the last removed one begins anew. Raises what the database raises.
    """
    _number_pending(sender)
    names = _entries(sender).filter(LIVING).values_list("log__name", flat=True)
    for name in sorted(set(names.distinct())):
        if not is_held(name):
            yield from retention.remove_events(name, sender, lock_ms=LOCK_MS)
            yield from _delete_values(name, sender)


def _number_pending(sender: str) -> None:
    """Give those entries their positions that would otherwise be published after this."""
    if names := set(_pending(sender).values_list("topic", flat=True)):
        topic_numbering.number(names, lock_ms=LOCK_MS)


def _delete_values(name: str, sender: str) -> Iterator[int]:
    rows, last = _entries(sender).filter(log__name=name, key__isnull=False, is_deleted=False), 0
    while found := list(
        rows.filter(pk__gt=last).order_by("pk").values_list("pk", "key", "changed_seq")[:CHUNK]
    ):
        last = found[-1][0]
        # At their positions only: another sender may have replaced a value meanwhile.
        drafts = [
            EntryDraft(topic=name, kind=Kind.DELETE, key=key, if_seq=position)
            for _, key, position in found
        ]
        topic_numbering.append(drafts, lock_ms=LOCK_MS, announces=True)
        yield len(found)


def _pending(sender: str) -> Any:
    return Pending.objects.using(database()).filter(sender=sender, topic__isnull=False)


def _entries(sender: str) -> Any:
    return Entry.objects.using(database()).filter(sender=sender)
