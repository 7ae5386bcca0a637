"""Old entries go; the living values of keys never do."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from realtime.models import Entry, Log
from realtime.store.topics import retention
from realtime.store.topics.entries import NO_LOG, TopicLog

from ..outbox.publishing import TOPIC, append, data, deletion, event, rights, stored, value


def date(*positions: int) -> datetime:
    """Let these positions be a week old; return a time between them and the others."""
    Entry.objects.filter(changed_seq__in=positions).update(at=timezone.now() - timedelta(days=7))
    return timezone.now() - timedelta(days=1)


def test_old_events_and_tombstones_are_removed() -> None:
    append(event("a"), value("x", 1), value("y", 1), event("b"))
    append(deletion("x"), event("c"))
    before = date(1, 3, 4, 5)
    assert sum(retention.purge(TOPIC, before)) == 3
    assert stored() == [(3, 1), (6, "c")]
    mark = TopicLog(TOPIC).mark()
    assert (mark.last_seq, mark.purged_seq) == (6, 5)


def test_a_tombstone_before_removed_events_does_not_lower_the_mark() -> None:
    """A client from between would resume, and keep what was deleted."""
    append(value("x", 1), event("a"))
    append(deletion("x"), event("b"), event("c"))
    assert sum(retention.purge(TOPIC, date(2, 3, 4))) == 3
    assert TopicLog(TOPIC).mark().purged_seq == 4


def test_a_living_value_is_never_removed() -> None:
    append(value("x", 1))
    assert sum(retention.purge(TOPIC, timezone.now() + timedelta(days=1))) == 0
    assert TopicLog(TOPIC).mark().purged_seq == 0


def test_what_is_younger_stays() -> None:
    append(event("a"), event("b"))
    before = date(1)
    assert sum(retention.purge(TOPIC, before)) == 1
    assert sum(retention.purge(TOPIC, before)) == 0
    assert stored() == [(2, "b")]


def test_many_entries_are_removed_in_chunks() -> None:
    append(*(event(number) for number in range(1203)))
    assert sum(retention.purge(TOPIC, timezone.now() + timedelta(days=1))) == 1203
    assert TopicLog(TOPIC).mark()[:2] == (1203, 1203)
    append(event("next"))
    assert stored() == [(1204, "next")]


def test_a_purged_key_can_be_set_again() -> None:
    append(value("x", 1))
    append(deletion("x"))
    list(retention.purge(TOPIC, timezone.now() + timedelta(days=1)))
    assert not Entry.objects.exists()
    append(value("x", 2, if_seq=0))
    assert data(TopicLog(TOPIC).start(10, 10).states) == [2]


def test_a_topic_without_a_log_has_nothing_to_remove() -> None:
    assert sum(retention.purge(TOPIC, timezone.now())) == 0
    assert not Log.objects.exists()


def test_the_names_of_topics_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    names = [f"t{number}" for number in range(7)]
    append(*(event(topic=name) for name in names))
    assert list(retention.topic_names()) == names


def test_an_idle_log_without_entries_is_deleted() -> None:
    """The next entry begins another epoch."""
    append(event(topic="full"), event(topic="purged"), rights("rights"), event(topic="new"))
    epoch = TopicLog("purged").mark().epoch
    later = timezone.now() + timedelta(days=1)
    for name in ("purged", "new"):
        list(retention.purge(name, later))
    old = timezone.now() - timedelta(days=7)
    Log.objects.exclude(name="new").update(last_at=old)
    assert retention.delete_idle_logs(timezone.now() - timedelta(days=1)) == 2
    assert list(retention.topic_names()) == ["full", "new"]
    assert TopicLog("purged").mark() == NO_LOG
    append(event(topic="purged"))
    assert TopicLog("purged").mark().epoch != epoch


def test_the_log_of_a_room_is_not_deleted(room: object) -> None:
    Log.objects.create(room=room)  # type: ignore[misc]
    assert retention.delete_idle_logs(timezone.now() + timedelta(days=1)) == 0
