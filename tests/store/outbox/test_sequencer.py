"""Threads of one process: one numbers for all that wait."""

import os
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from realtime.models import Log, Pending, Room
from realtime.signals import entries_stored
from realtime.store.outbox import pending, pending_messages, room_numbering, topic_numbering
from realtime.store.outbox.sequencer import Sequencer, sequencer
from tests.store.conftest import together
from tests.store.says import draft

from .publishing import append, event, publish, stored, value


def test_one_thread_numbers_for_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """None returns before its topic was numbered."""
    calls: list[set[str]] = []
    has_begun, may_end = Event(), Event()
    mine, waiting = Sequencer(), [f"t{number}" for number in range(5)]

    def number(topics: set[str]) -> int:
        calls.append(set(topics))
        has_begun.set()
        assert may_end.wait(10)
        return 0

    monkeypatch.setattr(topic_numbering, "number", number)

    def first() -> None:
        mine.number(["first"], [])

    def other(name: str) -> None:
        assert has_begun.wait(10)
        mine.number([name], [])
        assert any(name in topics for topics in calls)

    def release() -> None:
        assert has_begun.wait(10)
        while len(mine._next.topics) < len(waiting):  # they all wait
            pass
        may_end.set()

    together([first, release, *((lambda name=name: other(name)) for name in waiting)])
    assert calls == [{"first"}, set(waiting)]


def test_an_error_reaches_its_thread_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Sequencer()

    def fail(topics: set[str]) -> int:
        raise ValueError("no")

    with monkeypatch.context() as patched:
        patched.setattr(topic_numbering, "number", fail)
        with pytest.raises(ValueError, match="no"):
            mine.number(["a"], [])
    mine.number(["a"], [])


def test_a_receiver_may_publish_in_a_transaction() -> None:
    """It runs in the thread that numbers, which must not wait for itself."""
    heard: list[Any] = []

    def hear(stored: list[Any], **_: Any) -> None:
        heard.extend(stored)
        if len(heard) < 4:
            with transaction.atomic():
                publish(event(len(heard)))

    entries_stored.connect(hear)
    try:
        with transaction.atomic():
            publish(event(0))
    finally:
        entries_stored.disconnect(hear)
    assert [what for _, what in stored()] == [0, 1, 2, 3]


def test_a_publisher_does_not_wait_for_ever(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver may wait for another thread that publishes."""
    if not is_postgres:
        pytest.skip("SQLite numbers in the transaction")
    monkeypatch.setattr("realtime.store.outbox.sequencer.WAIT_SECONDS", 0.01)

    def work() -> None:
        with transaction.atomic():
            publish(event("inner"))

    def hear(stored: list[Any], **_: Any) -> None:
        together([work], seconds=10)

    entries_stored.connect(hear)
    try:
        with transaction.atomic():
            publish(event("outer"))
    finally:
        entries_stored.disconnect(hear)
    with transaction.atomic():
        publish(event("next", "other"))
    assert [what for _, what in stored()] == ["outer", "inner"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks() -> None:
    with sequencer._changed:
        child = os.fork()
        if child == 0:
            os._exit(0 if sequencer._changed.acquire(blocking=False) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_locked_log_leaves_the_others_numbered(room: Room, is_postgres: bool) -> None:
    """Also rooms after topics, and in the sweep."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    other = Room.objects.create(slug="locked")
    append(event(0, "a"), event(0, "b"))
    room_numbering.append([draft(room), draft(other)])
    drafts = [event(1, "a"), event(1, "b"), event(1, "new")]

    def leave_pending() -> None:
        pending._insert("default", drafts)
        for one in (room, other):
            pending_messages.insert("default", draft(one))

    def left() -> tuple[set[str], set[int]]:
        rows = Pending.objects.values_list("topic", "room_id")
        return {row[0] for row in rows} - {None}, {row[1] for row in rows} - {None}

    def number() -> None:
        with pytest.raises(DatabaseError):
            Sequencer().number(["a", "b", "new"], [room.pk, other.pk])

    leave_pending()
    with transaction.atomic():
        list(Log.objects.filter(Q(name="a") | Q(room=other)).select_for_update())
        together([number])
        assert left() == ({"a"}, {other.pk})
    leave_pending()
    Pending.objects.update(created_at=timezone.now() - timedelta(hours=1))
    with transaction.atomic():
        list(Log.objects.filter(Q(name="a") | Q(room=other)).select_for_update())
        together([pending.sweep])
        assert left() == ({"a"}, {other.pk})


def test_a_row_that_cannot_be_decoded_stops_its_topic_only(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    pending._insert("default", [event(1, "b"), value("k", 1, "a"), event(1, "c")])
    Pending.objects.filter(topic="a").update(expires_seconds=1e300)
    pending_messages.insert("default", draft(room))
    Pending.objects.update(created_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(OverflowError):
        pending.sweep()
    assert [one.topic for one in Pending.objects.all()] == ["a"]
