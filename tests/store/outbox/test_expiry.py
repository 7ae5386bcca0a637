"""Values that expire: deleted once, by a pulse, at a new position."""

from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from realtime.models import Entry, Log
from realtime.store.outbox import expiry
from realtime.store.topics.entries import TopicLog
from tests.store.conftest import together

from .publishing import TOPIC, append, deletion, living, publish, stored, telling, value


def pass_time(*keys: str) -> None:
    """Let the time of values be over."""
    past = timezone.now() - timedelta(seconds=1)
    Entry.objects.filter(key__in=keys).update(expires_at=past)


def test_a_value_is_deleted_when_its_time_is_over() -> None:
    append(value("x", 1, expires_seconds=60), value("y", 2, expires_seconds=60), value("z", 3))
    assert expiry.expire() == 0
    pass_time("x")
    with telling() as told:
        assert expiry.expire() == 1
    assert told == [(4, "deleted")]
    assert living() == {"y": 2, "z": 3}
    assert expiry.expire() == 0


def test_the_time_counts_from_numbering() -> None:
    append(value("x", 1, expires_seconds=60))
    row = Entry.objects.get()
    assert row.expires_at == row.at + timedelta(seconds=60)


def test_the_same_value_only_moves_its_time() -> None:
    """No position, no event: a heartbeat costs no delivery."""
    append(value("x", {"a": 1, "b": 2}, expires_seconds=60))
    pass_time("x")
    with telling() as told:
        publish(value("x", {"b": 2, "a": 1}, expires_seconds=90))
    assert told == []
    assert expiry.expire() == 0
    assert stored() == [(1, {"a": 1, "b": 2})]
    assert Entry.objects.get().expires_at > timezone.now() + timedelta(seconds=80)  # type: ignore[operator]


@pytest.mark.parametrize("other", [1.5, True, "1", [1], None])
def test_another_value_takes_a_position(other: Any) -> None:
    append(value("x", 1, expires_seconds=60))
    append(value("x", other, expires_seconds=60))
    assert stored() == [(2, other)]


def test_a_value_without_a_time_stays() -> None:
    append(value("x", 1, expires_seconds=60))
    append(value("x", 1))
    assert Entry.objects.get().expires_at is None
    assert TopicLog(TOPIC).mark().last_seq == 2


def test_a_deleted_value_does_not_expire() -> None:
    append(value("x", 1, expires_seconds=60))
    append(deletion("x"))
    assert Entry.objects.get().expires_at is None


def test_a_set_that_is_pending_saves_the_value(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is numbered first, under the same lock."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    append(value("x", 1, expires_seconds=60))
    pass_time("x")
    monkeypatch.setattr("realtime.store.outbox.pending._number", lambda topics, rooms: None)
    with transaction.atomic():
        publish(value("x", 2, expires_seconds=60))
    assert expiry.expire() == 0
    assert living() == {"x": 2}


def test_two_processes_delete_a_value_once() -> None:
    append(
        *(value(f"k{number}", topic=f"t{number % 7}", expires_seconds=60) for number in range(50))
    )
    pass_time(*(f"k{number}" for number in range(50)))
    assert sum(together([expiry.expire] * 3)) == 50  # type: ignore[arg-type]
    assert Entry.objects.filter(is_deleted=True).count() == 50
    ends = Log.objects.values_list("name", "last_seq")
    assert {end for _, end in ends} == {2 * len(range(number, 50, 7)) for number in (0, 1)}


def test_a_locked_topic_delays_no_other(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    append(value("x", topic="a", expires_seconds=60), value("y", topic="b", expires_seconds=60))
    pass_time("x", "y")
    is_locked, is_done = Event(), Event()

    def lock() -> None:
        with transaction.atomic():
            Log.objects.select_for_update().get(name="a")
            is_locked.set()
            is_done.wait(10)

    def expire() -> int:
        is_locked.wait(10)
        try:
            return expiry.expire()
        finally:
            is_done.set()

    assert together([lock, expire])[1] == 1
    assert expiry.expire() == 1
