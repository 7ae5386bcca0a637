"""A topic's log in the database, written as the store does and read as the truth."""

from django.db import transaction

from realtime.models import Entry, Log
from realtime.store.outbox import topic_numbering
from realtime.store.topics.drafts import EntryDraft, Kind, StoredEntry
from realtime.wire.errors import CommandError


def publish(*drafts: EntryDraft) -> list[StoredEntry]:
    """Append drafts without a broadcast."""
    outcomes = topic_numbering.append(drafts)
    assert not [one for one in outcomes if isinstance(one, CommandError)]
    return [one for one in outcomes if isinstance(one, StoredEntry)]


def event(topic: str, text: str) -> EntryDraft:
    return EntryDraft(topic=topic, type="told", data=f'{{"text":"{text}"}}')


def value(topic: str, key: str, text: str) -> EntryDraft:
    return EntryDraft(topic=topic, kind=Kind.SET, type="set", key=key, data=f'{{"text":"{text}"}}')


def deletion(topic: str, key: str) -> EntryDraft:
    return EntryDraft(topic=topic, kind=Kind.DELETE, key=key)


def rights(topic: str) -> EntryDraft:
    return EntryDraft(topic=topic, kind=Kind.RIGHTS)


def purge(topic: str, through: int) -> None:
    """Remove the oldest events and tombstones, as pruning does; living values stay.

    Pruning never lowers `purged_seq`, even if it removes earlier rows than before.
    """
    with transaction.atomic():
        rows = Entry.objects.filter(log__name=topic, changed_seq__lte=through)
        rows.filter(key__isnull=True).delete()
        rows.filter(is_deleted=True).delete()
        Log.objects.filter(name=topic, purged_seq__lt=through).update(purged_seq=through)


def restore(topic: str, last_seq: int) -> None:
    """Go back to an earlier state, as from a backup: the epoch is the same."""
    with transaction.atomic():
        Entry.objects.filter(log__name=topic, changed_seq__gt=last_seq).delete()
        Log.objects.filter(name=topic).update(last_seq=last_seq)


def values(topic: str) -> dict[str, str]:
    """The living values by key, as JSON."""
    rows = Entry.objects.filter(log__name=topic, key__isnull=False, is_deleted=False)
    return {str(key): data for key, data in rows.values_list("key", "data")}


def events(topic: str) -> dict[int, str]:
    """The events by position, as JSON."""
    rows = Entry.objects.filter(log__name=topic, key__isnull=True)
    return dict(rows.values_list("seq", "data"))


def end(topic: str) -> int:
    """The last position."""
    return Log.objects.filter(name=topic).values_list("last_seq", flat=True).first() or 0
