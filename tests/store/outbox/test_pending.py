"""Publishing in the caller's transaction: the entry exists if and only if that commits."""

import math
import unittest
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django import test
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import retention
from realtime.models import Entry, Log, Pending
from realtime.signals import entries_pending
from realtime.store.database import transactions
from realtime.store.outbox import pending, pending_entries, topic_numbering
from realtime.store.outbox.sequencer import sequencer as numberer
from realtime.store.topics import rows
from realtime.wire.errors import CommandError
from tests.store.conftest import another_database, together

from .publishing import (
    TOPIC,
    append,
    deletion,
    event,
    is_without_holes,
    living,
    publish,
    rights,
    stored,
    telling,
    value,
)


class Rollback(Exception):  # noqa: N818
    pass


@pytest.fixture
def other(url: str, tmp_path: Any) -> Iterator[str]:
    """A second database of the site."""
    transactions._warn_once.cache_clear()
    with another_database("other", f"sqlite:///{tmp_path}/other.sqlite3") as alias:
        yield alias


@pytest.fixture
def sequencer() -> Iterator[list[Any]]:
    """An engine of this process, which would number what it hears of."""
    heard: list[Any] = []

    def hear(topics: frozenset[str], rooms: frozenset[int], **_: Any) -> bool:
        heard.append((set(topics), set(rooms)))
        return True

    entries_pending.connect(hear)
    yield heard
    entries_pending.disconnect(hear)


def age() -> None:
    """Let what is pending have waited."""
    Pending.objects.update(created_at=timezone.now() - timedelta(days=1))


def test_without_a_transaction_an_event_is_stored_at_once() -> None:
    with telling() as told:
        publish(event("a"), value("x", 1))
        publish(event("b"))
    assert stored() == [(1, "a"), (2, 1), (3, "b")]
    assert told == stored()
    assert not Pending.objects.exists()


def test_in_a_transaction_it_is_stored_with_the_commit() -> None:
    with telling() as told:
        with transaction.atomic():
            publish(event("a"))
            publish(event("b", "order/8"), rights())
            assert told == []
        assert sorted(map(str, told)) == sorted(map(str, [(1, "a"), (1, "b"), {TOPIC: 1}]))
    assert (stored(), stored("order/8")) == ([(1, "a")], [(1, "b")])
    assert not Pending.objects.exists()


def test_a_transaction_locks_no_log(is_postgres: bool) -> None:
    """Not even one that is new: another publisher of the topic does not wait."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    with transaction.atomic():
        publish(event("mine"))
        assert not Log.objects.exists()
        together([lambda: publish(event("other"))], seconds=5)
        assert stored() == [(1, "other")]
    assert stored() == [(1, "other"), (2, "mine")]


def test_nothing_of_a_rollback_exists() -> None:
    with telling() as told, suppress(Rollback), transaction.atomic():
        publish(event("a"), rights())
        raise Rollback
    publish(event("b"))
    assert stored() == [(1, "b")]
    assert told == []
    assert not Pending.objects.exists()


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_along() -> None:
    with transaction.atomic():
        publish(event("a"))
        with suppress(Rollback), transaction.atomic():
            publish(event("b", "order/8"))
            raise Rollback
        publish(event("c"))
    assert stored() == [(1, "a"), (2, "c")]
    assert not Log.objects.filter(name="order/8").exists()


def test_what_follows_a_savepoint_that_is_rolled_back_is_numbered() -> None:
    """The hook of the first publish never runs."""
    with transaction.atomic():
        with suppress(Rollback), transaction.atomic():
            publish(event("a"))
            raise Rollback
        publish(event("b"))
    assert stored() == [(1, "b")]


def test_the_inner_of_two_transactions_commits_with_the_outer() -> None:
    with suppress(Rollback), transaction.atomic():
        with transaction.atomic():
            publish(event("a"))
        raise Rollback
    with transaction.atomic(), transaction.atomic():
        publish(event("b"))
    assert stored() == [(1, "b")]


def test_a_hook_that_publishes_takes_nothing_away() -> None:
    """It runs before the one that numbers, and in a transaction of its own."""

    def hook() -> None:
        with transaction.atomic():
            publish(event("inner", "order/8"))

    with transaction.atomic():
        transaction.on_commit(hook)
        publish(event("outer"))
        transaction.on_commit(hook)
    assert (stored(), len(stored("order/8"))) == ([(1, "outer")], 2)
    assert not Pending.objects.exists()


def test_with_autocommit_off_the_sweep_numbers() -> None:
    transaction.set_autocommit(False)
    try:
        publish(event("lost"))
        transaction.rollback()
        publish(event("a"))
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    age()
    pending.sweep()
    assert stored() == [(1, "a")]


def test_the_sweep_leaves_what_is_new(is_postgres: bool, sequencer: list[Any]) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    publish(event("a"))
    assert pending.sweep() == 0
    age()
    publish(event("b"))
    assert pending.sweep() == 2  # all of the topic
    assert stored() == [(1, "a"), (2, "b")]
    assert pending.sweep() == 0


def test_what_waits_is_numbered_by_the_next_publisher_of_any_topic(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server process may run; each process looks now and then."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    monkeypatch.setattr(numberer, "_swept_at", -math.inf)
    for topic, number in (("order/8", 1), ("order/9", 2)):
        pending_entries.insert("default", [event("left", topic)])
        age()
        publish(event(number))
        assert stored(topic) == ([(1, "left")] if number == 1 else [])
    assert stored() == [(1, 1), (2, 2)]


def test_pruning_numbers_what_waits(is_postgres: bool) -> None:
    """It is called daily."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    pending_entries.insert("default", [event("left")])
    age()
    retention.prune()
    assert stored() == [(1, "left")]


def test_the_sweep_does_not_wait_for_a_locked_log(is_postgres: bool, sequencer: list[Any]) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    append(event(), event(topic="order/8"))
    publish(event("a"), event("b", "order/8"))
    age()
    with transaction.atomic():
        # It numbers what is pending there, and keeps the lock.
        topic_numbering.append([event("locks")])
        publish(event("c"))
        assert together([pending.sweep], seconds=5) == [1]
    assert stored("order/8") == [(1, 1), (2, "b")]


def test_an_engine_of_this_process_is_asked_to_number(
    is_postgres: bool, sequencer: list[Any]
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    publish(event("a"))
    with transaction.atomic():
        publish(event("b"), event("c", "order/8"))
        publish(event("d", "order/9"))
    assert [one for one in sequencer if one[0]] == [
        ({TOPIC}, set()),
        ({TOPIC, "order/8", "order/9"}, set()),
    ]
    assert not Entry.objects.exists()
    assert topic_numbering.number([TOPIC, "order/8", "order/9"]) == 4
    assert stored() == [(1, "a"), (2, "b")]


def test_a_log_that_is_locked_leaves_the_event_pending(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    append(event())
    is_locked, is_published = Event(), Event()

    def lock() -> None:
        with transaction.atomic():
            Log.objects.select_for_update().get(name=TOPIC)
            is_locked.set()
            is_published.wait(10)

    def write() -> None:
        is_locked.wait(10)
        try:
            publish(event("direct"))
            with transaction.atomic():
                publish(event("committed"))
        finally:
            is_published.set()

    together([lock, write])
    assert Pending.objects.count() == 2
    publish(event("next"))
    assert stored() == [(1, 1), (2, "direct"), (3, "committed"), (4, "next")]


def test_an_append_numbers_first_what_is_pending(is_postgres: bool, sequencer: list[Any]) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    publish(event("a"), value("x", 1), rights())
    with telling() as told:
        found = append(event("b"), value("x", 2))
    assert [one.state and one.state.seq for one in found] == [3, 4]
    assert told == [{TOPIC: 1}, (1, "a"), (2, 1)]
    assert living() == {"x": 2}


def test_more_than_a_batch_is_numbered_in_order(is_postgres: bool) -> None:
    with transaction.atomic():
        publish(*(event(number) for number in range(2500)))
    assert stored() == [(number + 1, number) for number in range(2500)]
    with transaction.atomic():
        for number in range(5):
            publish(event(number))
    assert [what for _, what in stored()[-5:]] == [0, 1, 2, 3, 4]


def test_a_backlog_is_numbered_in_several_transactions_before_an_append(is_postgres: bool) -> None:
    """One transaction for all of it would hold the lock and the rows for as long as that takes."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    append(event(-1))
    pending_entries.insert("default", [event(number) for number in range(2500)])
    with CaptureQueriesContext(connection) as queries:
        append(event(2500))
    assert sum(one["sql"] == "COMMIT" for one in queries) == 4
    assert [what for _, what in stored()] == list(range(-1, 2501))


def test_a_backlog_is_numbered_fast_also_with_statistics_of_an_empty_table(
    is_postgres: bool,
) -> None:
    """The plan for one row, joined row by row, would take seconds for a thousand."""
    if not is_postgres:
        pytest.skip("PostgreSQL plans by statistics")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE realtime_pending")
    with transaction.atomic():
        publish(*(event(number) for number in range(2500)))
        with connection.cursor() as cursor:
            names = [[TOPIC], list(rows.KINDS), rows.BATCH, rows.BATCH_BYTES]
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {rows.TAKE}", names)
            [[plan]] = cursor.fetchone()
        transaction.set_rollback(True)
    assert touched(plan["Plan"]) < 20_000


def touched(plan: dict[str, Any]) -> int:
    """How many rows all nodes of a plan have returned or dropped."""
    own = plan.get("Actual Rows", 0) + plan.get("Rows Removed by Join Filter", 0)
    inner = sum(touched(one) for one in plan.get("Plans", []))
    return int(own * plan.get("Actual Loops", 1)) + inner


def test_large_events_are_numbered_in_smaller_batches(is_postgres: bool) -> None:
    """A statement that takes seconds would be ended, each time again."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    with transaction.atomic():
        publish(*(event(f"{number}" + "x" * 60_000) for number in range(300)))
    publish(event("small"))
    assert [what[:3].strip("x") for _, what in stored()] == [
        *(str(number) for number in range(300)),
        "sma",
    ]


def test_many_events_without_a_transaction_are_stored_together() -> None:
    publish(*(event(number) for number in range(1500)))
    assert len(stored()) == 1500
    assert not Pending.objects.exists()


def test_a_kind_that_only_a_newer_version_knows_is_left_to_it(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    Pending.objects.create(topic=TOPIC, kind="newer")
    publish(event("a"))
    age()
    assert pending.sweep() == 0
    assert stored() == [(1, "a")]
    assert Pending.objects.get().kind == "newer"


def test_an_isolation_level_of_the_site_loses_nothing(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that is older than the lock would number the same position again."""
    if not is_postgres:
        pytest.skip("PostgreSQL only")
    from psycopg import IsolationLevel

    settings = connections.settings["default"]
    monkeypatch.setitem(
        settings,
        "OPTIONS",
        settings["OPTIONS"] | {"isolation_level": IsolationLevel.SERIALIZABLE},
    )

    def work() -> None:
        for number in range(20):
            with suppress(OperationalError):
                publish(event(number))

    together([work] * 4)
    age()
    pending.sweep()
    assert is_without_holes()


# Other databases.


def test_a_transaction_of_another_database_is_warned_of(
    other: str, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic(using=other):
        publish(event("a"))
        publish(event("b"))
        assert stored() == [(1, "a"), (2, "b")]
    [line] = [record.getMessage() for record in caplog.records]
    assert "using='other'" in line


@pytest.mark.parametrize("outer_fails", [False, True])
@pytest.mark.parametrize("inner_fails", [False, True])
@pytest.mark.parametrize("databases", [("default", "other"), ("other", "default"), ("other",)])
def test_using_waits_for_both_transactions(
    other: str, databases: tuple[str, ...], outer_fails: bool, inner_fails: bool
) -> None:
    outer, inner = databases[0], databases[-1]
    with suppress(Rollback), transaction.atomic(using=outer):
        with suppress(Rollback), transaction.atomic(using=inner):
            pending.publish([event("a")], using="other")
            assert not Entry.objects.exists()
            if inner_fails:
                raise Rollback
        if outer_fails:
            raise Rollback
    assert stored() == ([] if inner_fails or outer_fails else [(1, "a")])


def test_using_locks_nothing_in_a_transaction_that_stays_open(
    other: str, is_postgres: bool
) -> None:
    """With autocommit off, the other database commits before ours."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    append(event())
    transaction.set_autocommit(False)
    try:
        with transaction.atomic(using=other):
            pending.publish([event("mine")], using=other)
        together([lambda: append(event("theirs"))], seconds=10)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    topic_numbering.number([TOPIC])
    assert stored() == [(1, 1), (2, "theirs"), (3, "mine")]


# A test case of the site.


def test_in_a_test_case_nothing_is_numbered_before_the_hooks_run(is_postgres: bool) -> None:
    class Case(test.TestCase):
        def runTest(self) -> None:  # noqa: N802
            with telling() as told:
                with self.captureOnCommitCallbacks(execute=True):
                    publish(event("a"), rights())
                    assert Pending.objects.count() == (2 if is_postgres else 0)
                assert stored(), [(1 == "a")]
                assert len(told) == 2
                publish(event("b"))
                assert len(told) == 2
            if is_postgres:
                with connection.cursor() as cursor:
                    cursor.execute("SHOW lock_timeout")
                    assert cursor.fetchone() == ("0",)

    result = unittest.TestResult()
    unittest.TestSuite([Case()]).run(result)
    assert [text for _, text in result.errors + result.failures] == []
    assert not Log.objects.exists()


# What cannot be published.


@pytest.mark.parametrize(
    "draft",
    [
        event(topic=""),
        event(topic="x" * 201),
        event(topic="a\x00"),
        event(topic="\ud800"),
        event(type=""),
        event(type="x" * 65),
        event(data=""),
        event(data='"\x00"'),
        event(data='"' + "x" * 65_536 + '"'),
        event(data='"' + "é" * 40_000 + '"'),
        event(data='"\udfff"'),
        event(nonce=""),
        event(nonce="x" * 65),
        event(key="x"),
        event(sender="x" * 151),
        value(""),
        value("x" * 201),
        value("x", expires_seconds=0),
        value("x", expires_seconds=float("nan")),
        value("x", expires_seconds=float("inf")),
        value("x", expires_seconds=-1),
        deletion("a\x00b"),
    ],
)
def test_a_draft_that_cannot_be_stored_is_refused_at_once(draft: Any) -> None:
    """The transaction of the caller goes on."""
    with transaction.atomic():
        with pytest.raises(CommandError):
            publish(draft)
        publish(event("a"))
    assert stored() == [(1, "a")]


def test_publishing_nothing_needs_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        publish()


def test_a_row_of_a_newer_release_makes_no_log_and_takes_no_place_in_a_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "SWEPT_AT_ONCE", 1)
    old = timezone.now() - timedelta(hours=1)
    for topic, kind in (("newer", "newer"), (TOPIC, "event")):
        Pending.objects.create(topic=topic, kind=kind, type="paid", data="1", created_at=old)
    topic_numbering.number(["newer"])
    assert pending.sweep() == 1
    assert [log.name for log in Log.objects.all()] == [TOPIC]
    assert [row.topic for row in Pending.objects.all()] == ["newer"]
