"""Threads of one process: one numbers for all that wait."""

import os
from datetime import timedelta
from threading import Event, get_ident
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from realtime.bursts import BURST_CALLS
from realtime.models import Log, Pending, Room
from realtime.signals import entries_stored
from realtime.store.outbox import (
    pending,
    pending_entries,
    pending_messages,
    room_numbering,
    topic_numbering,
)
from realtime.store.outbox.sequencer import Sequencer, _pause_after, sequencer
from tests.store.conftest import together
from tests.store.says import draft

from .publishing import append, event, publish, stored, value


class Numbering:
    """Numbering that takes until `may_end`, and records its topics and threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun, self.may_end = Event(), Event()
        self.topics: list[set[str]] = []
        self.threads: list[int] = []
        monkeypatch.setattr(topic_numbering, "number", self.number)

    def number(self, topics: set[str]) -> int:
        self.topics.append(set(topics))
        self.threads.append(get_ident())
        self.has_begun.set()
        assert self.may_end.wait(10)
        return 0


def test_one_thread_numbers_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others leave their topics to it, and do not wait."""
    mine, names = Sequencer(), [f"t{number}" for number in range(5)]
    numbering = Numbering(monkeypatch)

    def others() -> None:
        assert numbering.has_begun.wait(10)
        together([lambda name=name: mine.number([name], []) for name in names], seconds=5)
        numbering.may_end.set()

    together([lambda: mine.number(["first"], []), others])
    mine.settle(10)
    assert numbering.topics == [{"first"}, set(names)]


def test_a_publisher_numbers_itself_until_many_follow_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then a thread does, which ends when nothing is left, and may be followed by another one."""
    monkeypatch.setattr("realtime.bursts.BURST_SECONDS", 10)
    monkeypatch.setattr("realtime.store.outbox.sequencer.LINGER_SECONDS", 0.01)
    mine, numbering = Sequencer(), Numbering(monkeypatch)
    numbering.may_end.set()
    for _ in range(2):
        numbering.threads.clear()
        for number in range(BURST_CALLS + 5):
            mine.number([f"t{number}"], [])
        mine.settle(10)
        assert set().union(*numbering.topics) == {f"t{number}" for number in range(BURST_CALLS + 5)}
        assert numbering.threads.count(get_ident()) == BURST_CALLS
        assert len(set(numbering.threads)) == 2
        thread = mine._thread
        if thread is not None:
            thread.join(10)
        assert mine._thread is None
        mine._burst.resume(0.0)


@pytest.mark.parametrize(("count", "milliseconds"), [(0, 0), (1, 2), (3, 6), (5, 8), (500, 8)])
def test_the_thread_rests_longer_after_a_larger_batch(count: int, milliseconds: float) -> None:
    """A large one means many publishers, which need what one more batch would take."""
    assert _pause_after(count) == pytest.approx(milliseconds / 1000)


def test_publishers_wait_for_a_thread_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what is pending would grow without an end."""
    monkeypatch.setattr("realtime.store.outbox.sequencer.LAG_SECONDS", 0)
    monkeypatch.setattr("realtime.store.outbox.sequencer.WAIT_SECONDS", 10)
    mine, numbering = Sequencer(), Numbering(monkeypatch)

    def other() -> None:
        assert numbering.has_begun.wait(10)
        mine.number(["second"], [])
        assert numbering.may_end.is_set()

    def release() -> None:
        while not mine._next:
            pass
        numbering.may_end.set()

    together([lambda: mine.number(["first"], []), other, release])
    mine.settle(10)
    assert numbering.topics == [{"first"}, {"second"}]


def test_a_receiver_knows_whether_it_runs_in_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must not wait there: others wait for that thread."""
    mine, found = Sequencer(), []
    monkeypatch.setattr("realtime.bursts.BURST_CALLS", 0)
    monkeypatch.setattr(
        topic_numbering, "number", lambda names: found.append(mine.is_own_thread) or 0
    )
    mine.number(["a"], [])
    mine.settle(10)
    assert (found, mine.is_own_thread) == ([True], False)


def test_the_thread_survives_what_it_cannot_number(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, numbered = Sequencer(), []

    def number(topics: set[str]) -> int:
        numbered.append(set(topics))
        raise ValueError("no")

    monkeypatch.setattr(topic_numbering, "number", number)
    monkeypatch.setattr("realtime.bursts.BURST_CALLS", 0)
    for name in ("a", "b"):
        mine.number([name], [])
        mine.settle(10)
    assert numbered == [{"a"}, {"b"}]


def test_an_error_reaches_its_publisher_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_receiver_may_wait_for_another_thread_that_publishes(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite numbers in the transaction")
    texts = iter(["inner"])

    def work() -> None:
        for text in texts:
            publish(event(text))

    def hear(stored: list[Any], **_: Any) -> None:
        together([work], seconds=10)

    entries_stored.connect(hear)
    try:
        with transaction.atomic():
            publish(event("outer"))
        sequencer.settle(10)
    finally:
        entries_stored.disconnect(hear)
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
        pending_entries.insert("default", drafts)
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
    pending_entries.insert("default", [event(1, "b"), value("k", 1, "a"), event(1, "c")])
    Pending.objects.filter(topic="a").update(expires_seconds=1e300)
    pending_messages.insert("default", draft(room))
    Pending.objects.update(created_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(OverflowError):
        pending.sweep()
    assert [one.topic for one in Pending.objects.all()] == ["a"]
