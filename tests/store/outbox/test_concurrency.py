"""Many publishers and sequencers at once: no double position, no hole, nothing lost."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from realtime.models import Entry, Log, Pending
from realtime.store.messages import logs
from realtime.store.outbox import pending, topic_numbering
from realtime.store.outbox.batch import write_all
from realtime.store.topics import retention
from realtime.store.topics.entries import TopicLog
from tests.store.conftest import together
from tests.store.says import draft

from .publishing import TOPIC, append, event, is_without_holes, publish, stored, value
from .test_pending import Rollback, age, sequencer

__all__ = ["sequencer"]


@pytest.fixture(autouse=True)
def _only_postgres(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")


def published() -> list[Any]:
    return sorted(what for _, what in stored())


def test_twenty_writers_of_one_log() -> None:
    """Each sees its own events in the order in which it published them."""

    def write(writer: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(0, 10, 2):
                with transaction.atomic():
                    publish(event([writer, number]))
                    publish(event([writer, number + 1]))

        return work

    together([write(writer) for writer in range(20)], seconds=60)
    age()
    pending.sweep()
    assert is_without_holes()
    assert published() == [[writer, number] for writer in range(20) for number in range(10)]
    by_position = [what for _, what in stored()]
    for writer in range(20):
        assert [number for who, number in by_position if who == writer] == list(range(10))


def test_what_rolls_back_among_others_is_not_there() -> None:
    def write(writer: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(10):
                with suppress(Rollback), transaction.atomic():
                    publish(event([writer, number]))
                    if number % 3 == 0:
                        raise Rollback

        return work

    together([write(writer) for writer in range(8)], seconds=60)
    age()
    pending.sweep()
    kept = [number for number in range(10) if number % 3]
    assert published() == [[writer, number] for writer in range(8) for number in kept]
    assert is_without_holes()


def test_several_sequencers_at_once(sequencer: list[Any]) -> None:
    """Each row is numbered once, whoever takes it."""
    names = [f"t{number}" for number in range(6)]

    def write() -> None:
        for number in range(60):
            publish(event(number, random.choice(names)))

    def number() -> None:
        for _ in range(40):
            topic_numbering.number(random.sample(names, 4))

    def append_some() -> None:
        for _ in range(20):
            append(event("direct", random.choice(names)))

    together([write, write, number, number, number, append_some], seconds=60)
    topic_numbering.number(names)
    assert Entry.objects.count() == 140
    assert not Pending.objects.exists()
    assert all(is_without_holes(name) for name in names if Log.objects.filter(name=name).exists())


def test_logs_are_locked_in_one_order() -> None:
    """Batches of the same topics in any order never deadlock, also while the logs are made."""

    def work() -> None:
        own = random.Random()
        for number in range(15):
            names = [f"t{number}/{which}" for which in range(6)]
            own.shuffle(names)
            append(*(event(topic=name) for name in names))

    together([work] * 6, seconds=60)
    ends = set(Log.objects.values_list("last_seq", flat=True))
    assert ends == {6}


def test_a_topic_is_new_for_several_at_once() -> None:
    together([lambda: publish(event())] * 10, seconds=30)
    age()
    pending.sweep()
    assert [position for position, _ in stored()] == list(range(1, 11))
    assert Log.objects.count() == 1


def test_compare_and_set_lets_one_win() -> None:
    """Ten that count: no increment is lost."""

    def count() -> None:
        done = 0
        while done < 5:
            found = TopicLog(TOPIC).value("n")
            before, seq = (0, 0) if found is None else (int(bytes(found.data)), found.seq)
            [outcome] = topic_numbering.append([value("n", before + 1, if_seq=seq)], lock_ms=5000)
            done += getattr(outcome, "is_new", False)

    together([count] * 5, seconds=60)
    assert stored() == [(25, 25)]


def test_an_idle_log_is_deleted_while_others_publish() -> None:
    """A publisher that waits for the deleted row makes a new one."""
    later = timezone.now() + timedelta(days=1)

    def write() -> None:
        for number in range(40):
            append(event(number))

    def delete() -> None:
        for _ in range(60):
            list(retention.purge(TOPIC, later))
            retention.delete_idle_logs(later)

    together([write, write, delete], seconds=60)
    append(event("last"))
    positions = [position for position, _ in stored()]
    assert stored()[-1] == (TopicLog(TOPIC).mark().last_seq, "last")
    assert positions == list(range(positions[0], positions[0] + len(positions)))


def test_a_message_and_an_entry_lock_in_one_order(room: Any, other_room: Any) -> None:
    def work() -> None:
        own = random.Random()
        for _ in range(15):
            batch: list[Any] = [
                draft(room),
                event(topic="a"),
                event(topic="b"),
                draft(other_room),
            ]
            own.shuffle(batch)
            write_all(batch, lock_timeout_ms=5000)

    together([work] * 5, seconds=60)
    assert TopicLog("a").mark().last_seq == TopicLog("b").mark().last_seq == 75
    assert logs.lock_logs("default", {room.pk})[room.pk].last_seq == 75
