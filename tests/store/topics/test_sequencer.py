"""Threads of one process: one numbers for all that wait."""

import os
from threading import Event
from typing import Any

import pytest
from django.db import transaction

from realtime.signals import entries_stored
from realtime.store.topics import numbering
from realtime.store.topics.sequencer import Sequencer, sequencer
from tests.store.conftest import together

from .publishing import event, publish, stored


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

    monkeypatch.setattr(numbering, "number", number)

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
        patched.setattr(numbering, "number", fail)
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
    monkeypatch.setattr("realtime.store.topics.sequencer.WAIT_SECONDS", 0.01)

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
