"""Drafts of topics for store tests, and what is told of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from realtime.models import Entry, Log
from realtime.signals import entries_stored, topic_rights_changed
from realtime.store.outbox import pending, topic_numbering
from realtime.store.outbox.sequencer import sequencer
from realtime.store.topics.drafts import EntryDraft, Kind, StoredEntry
from realtime.store.topics.entries import TopicLog

TOPIC = "order/7"


def event(number: object = 1, topic: str = TOPIC, **fields: Any) -> EntryDraft:
    return EntryDraft(**{"topic": topic, "type": "paid", "data": json.dumps(number)} | fields)


def value(key: str, what: object = 1, topic: str = TOPIC, **fields: Any) -> EntryDraft:
    draft = {"topic": topic, "kind": Kind.SET, "type": "place", "key": key}
    return EntryDraft(**draft | {"data": json.dumps(what)} | fields)


def deletion(key: str, topic: str = TOPIC, **fields: Any) -> EntryDraft:
    return EntryDraft(topic=topic, kind=Kind.DELETE, key=key, **fields)


def rights(topic: str = TOPIC) -> EntryDraft:
    return EntryDraft(topic=topic, kind=Kind.RIGHTS)


def append(*drafts: EntryDraft) -> list[StoredEntry]:
    found = topic_numbering.append(drafts)
    assert all(isinstance(one, StoredEntry) for one in found)
    return found  # type: ignore[return-value]


def publish(*drafts: EntryDraft) -> None:
    pending.publish(drafts)


def data(states: Sequence[Any]) -> list[Any]:
    """What clients get as the data of states; "deleted" for a tombstone."""
    return ["deleted" if one.deleted else json.loads(bytes(one.data)) for one in states]


def stored(topic: str = TOPIC) -> list[tuple[int, Any]]:
    """The positions and data of a topic's log."""
    sequencer.settle()
    states = TopicLog(topic).since(0, 10_000).states
    return list(zip([one.position for one in states], data(states), strict=True))


def living(topic: str = TOPIC) -> dict[str, Any]:
    """The values of a topic by key."""
    sequencer.settle()
    rows = Entry.objects.filter(log__name=topic, key__isnull=False, is_deleted=False)
    return {row.key or "": json.loads(row.data) for row in rows}


def is_without_holes(topic: str = TOPIC) -> bool:
    """Whether each position has one row; only events, as a change of a key leaves a hole."""
    sequencer.settle()
    rows = Entry.objects.filter(log__name=topic).order_by("seq")
    last = Log.objects.get(name=topic).last_seq
    return list(rows.values_list("seq", flat=True)) == list(range(1, last + 1))


@contextmanager
def telling() -> Iterator[list[Any]]:
    """Record what is told: positions and data of entries, and the counters of rights."""
    told: list[Any] = []

    def hear_entries(stored: list[StoredEntry], **_: Any) -> None:
        states = [one.state for one in stored if one.state is not None]
        told.extend(zip([one.position for one in states], data(states), strict=True))

    def hear_rights(topics: dict[str, int], **_: Any) -> None:
        told.append(topics)

    entries_stored.connect(hear_entries)
    topic_rights_changed.connect(hear_rights)
    try:
        yield told
    finally:
        entries_stored.disconnect(hear_entries)
        topic_rights_changed.disconnect(hear_rights)
