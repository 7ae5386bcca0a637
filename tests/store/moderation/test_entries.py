"""What a user has published to topics is erased, and nothing else."""

from collections.abc import Sequence
from typing import Any

import pytest

from realtime.models import Entry
from realtime.store.moderation import entries
from realtime.store.outbox import topic_numbering
from realtime.store.topics.entries import TopicLog

from ..outbox.publishing import (
    TOPIC,
    append,
    deletion,
    event,
    living,
    publish,
    stored,
    telling,
    value,
)

OTHER = "order/8"


def is_held(name: str) -> bool:
    return name.startswith("held/")


def erase(sender: str = "7") -> int:
    return sum(entries.erase_entries(sender, is_held))


def test_events_are_removed_and_values_are_deleted() -> None:
    """Those of others, and of nobody, stay; who was away begins anew."""
    append(
        event("mine", sender="7"),
        value("x", "mine", sender="7"),
        event("of another", sender="77"),
        value("y", "of another", sender="77"),
        event("mine too", sender="7"),
        event("of nobody"),
    )
    append(event("elsewhere", OTHER, sender="7"))
    assert entries.due_entries("7", is_held) == (4, 0)
    assert erase() == 4
    kept = [(3, "of another"), (4, "of another"), (6, "of nobody"), (7, "deleted")]
    assert stored() == kept
    assert stored(OTHER) == []
    assert living() == {"y": "of another"}
    assert TopicLog(TOPIC).mark().purged_seq == 5
    assert Entry.objects.filter(sender="7").count() == 0
    assert entries.due_entries("7", is_held) == (0, 0)
    assert erase() == 0


def test_subscribers_are_told_of_deleted_values() -> None:
    append(value("x", sender="7"), event("a", sender="7"))
    with telling() as told:
        erase()
    assert told == [(3, "deleted")]


def test_a_value_that_another_replaces_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    append(value("x", "mine", sender="7"), value("y", "mine", sender="7"))
    numbered = topic_numbering.append

    def late(drafts: Sequence[Any], **options: Any) -> Any:
        monkeypatch.setattr(topic_numbering, "append", numbered)
        append(value("x", "of another", sender="77"))
        return numbered(drafts, **options)

    monkeypatch.setattr(topic_numbering, "append", late)
    erase()
    assert living() == {"x": "of another"}


def test_what_is_pending_is_erased_too() -> None:
    publish(event("mine", sender="7"), value("x", sender="7"))
    assert entries.due_entries("7", is_held) == (2, 0)
    assert erase() == 2
    assert living() == {}


def test_topics_on_legal_hold_keep_everything() -> None:
    append(event("mine", "held/1", sender="7"), value("x", "mine", "held/1", sender="7"))
    assert entries.due_entries("7", is_held) == (0, 2)
    assert erase() == 0
    assert len(stored("held/1")) == 2


def test_a_deleted_key_is_not_deleted_again() -> None:
    append(value("x", sender="7"))
    append(deletion("x", sender="7"))
    assert erase() == 0
    assert TopicLog(TOPIC).mark().last_seq == 2


def test_many_are_erased_in_parts() -> None:
    append(*(event(number, sender="7") for number in range(1201)))
    append(*(value(f"k{number}", sender="7") for number in range(700)))
    assert list(entries.erase_entries("7", is_held)) == [500, 500, 201, 500, 200]
