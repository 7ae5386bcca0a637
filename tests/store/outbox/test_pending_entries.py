"""Many calls of one transaction: their rows are written together, and nobody can see that."""

import gc
import unittest
from contextlib import suppress
from threading import Thread
from typing import Any
from weakref import ReferenceType, ref

import pytest
from django import test
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from realtime.models import Entry, Pending, Room
from realtime.store.outbox.pending_entries import GATHERED_DRAFTS, SINGLY

from .publishing import event, publish, stored, telling

MANY = SINGLY + 10


class Rollback(Exception):  # noqa: N818
    pass


def publish_many(name: str, number: int = MANY) -> None:
    """Publish so many events, each by a call of its own."""
    for place in range(number):
        publish(event(f"{name}{place}"))


def names(name: str, number: int = MANY) -> list[str]:
    return [f"{name}{place}" for place in range(number)]


def published() -> list[str]:
    """The events of the log, whose positions have no hole."""
    found = stored()
    assert [position for position, _ in found] == list(range(1, len(found) + 1))
    return [data for _, data in found]


def fail() -> None:
    """Execute a statement that fails, and so the transaction or the savepoint does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0 FROM nowhere")


def test_many_calls_are_few_statements(is_postgres: bool) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        publish_many("a", SINGLY + 2 * GATHERED_DRAFTS + 1)
    inserts = [one for one in queries if "INTO realtime_pending" in one["sql"]]
    if is_postgres:
        assert len(inserts) == SINGLY + 3
    assert published() == names("a", SINGLY + 2 * GATHERED_DRAFTS + 1)


def test_large_events_are_written_before_they_are_many(is_postgres: bool) -> None:
    large = "x" * 60_000
    with transaction.atomic():
        publish_many("a", SINGLY)
        with CaptureQueriesContext(connection) as queries:
            for _ in range(40):
                publish(event(large))
    inserts = [one for one in queries if "INTO realtime_pending" in one["sql"]]
    assert len(inserts) == (2 if is_postgres else 0)
    assert published() == [*names("a", SINGLY), *[large] * 40]


def test_each_statement_of_the_transaction_finds_the_rows(is_postgres: bool) -> None:
    with transaction.atomic():
        publish_many("a")
        assert Pending.objects.count() == (MANY if is_postgres else 0)
        publish_many("b")
        assert Pending.objects.count() == (2 * MANY if is_postgres else 0)
    assert published() == names("a") + names("b")


def test_the_order_is_that_of_the_calls() -> None:
    with transaction.atomic():
        publish_many("a")
        publish(event("b"), event("c"))
        publish_many("d")
        Room.objects.create(slug="between")
        publish_many("e")
    assert published() == [*names("a"), "b", "c", *names("d"), *names("e")]


def test_nothing_of_a_rollback_comes_with_the_next_transaction() -> None:
    with telling() as told:
        with suppress(Rollback), transaction.atomic():
            publish_many("a")
            raise Rollback
        with transaction.atomic():
            transaction.on_commit(lambda: None)
            publish(event("b"))
        with suppress(Rollback), transaction.atomic():
            publish_many("c")
            raise Rollback
        with transaction.atomic():
            pass
        assert published() == ["b"]
    assert len(told) == 1
    assert not Pending.objects.exists()


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_along() -> None:
    with transaction.atomic():
        publish_many("a")
        with suppress(Rollback), transaction.atomic():
            publish_many("b")
            raise Rollback
        publish_many("c")
        with transaction.atomic():
            publish_many("d")
        savepoint = connection.savepoint()  # the name in `transaction` depends on the version
        publish_many("e")
        transaction.savepoint_rollback(savepoint)
        publish_many("f")
    assert published() == names("a") + names("c") + names("d") + names("f")


def test_a_savepoint_that_has_failed_is_rolled_back() -> None:
    with transaction.atomic():
        publish_many("a")
        with suppress(DatabaseError), transaction.atomic():
            publish_many("b")
            fail()
        publish_many("c")
    assert published() == names("a") + names("c")


def test_a_transaction_that_has_failed_takes_no_event(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite goes on after a statement that fails")
    with suppress(Rollback), transaction.atomic():
        publish_many("a")
        with suppress(DatabaseError):
            fail()
        with pytest.raises(DatabaseError, match="aborted"):
            publish(event("b"))
        raise Rollback
    with suppress(Rollback), transaction.atomic():
        publish_many("c")
        with suppress(Rollback), transaction.atomic(savepoint=False):
            raise Rollback
        with pytest.raises(transaction.TransactionManagementError):
            publish(event("d"))
        raise Rollback
    publish(event("e"))
    assert published() == ["e"]


def test_what_cannot_be_written_fails_the_commit(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending entries")

    def publish_too_much() -> None:
        with transaction.atomic():
            Room.objects.create(slug="lost")
            publish_many("a", SINGLY)
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 1")
            for _ in range(400):
                publish(event("x" * 2000))

    with telling() as told:
        with pytest.raises(OperationalError):
            publish_too_much()
        assert not Room.objects.filter(slug="lost").exists()
        with transaction.atomic():
            publish_many("b")
        assert published() == names("b")
    assert len(told) == MANY


def test_no_commit_follows_a_write_that_failed_before_another_statement(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending entries")
    hooks: list[int] = []
    with transaction.atomic():
        Room.objects.create(slug="lost")
        publish_many("a", SINGLY)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1")
        transaction.on_commit(lambda: hooks.append(1))
        for _ in range(400):
            publish(event("x" * 2000))
        with suppress(DatabaseError), transaction.atomic():
            Room.objects.create(slug="other")
        with pytest.raises(transaction.TransactionManagementError):
            Room.objects.count()
    assert hooks == []
    assert not Room.objects.exists()
    publish(event("b"))
    assert published() == ["b"]


def test_a_wrapper_that_refuses_the_write_fails_the_commit() -> None:
    def wrapper(execute: Any, sql: str, *arguments: Any) -> Any:
        if "INTO realtime_" in sql:
            raise Rollback
        return execute(sql, *arguments)

    def publish_in_vain() -> None:
        with transaction.atomic():
            Room.objects.create(slug="lost")
            publish_many("a")
            connection.execute_wrappers.append(wrapper)

    try:
        with suppress(Rollback):
            publish_in_vain()
    finally:
        connection.execute_wrappers.clear()
    if connection.vendor == "postgresql":
        assert connection.get_autocommit()
        assert not Room.objects.exists()
        publish(event("b"))
        assert published() == ["b"]


def test_a_statement_that_is_refused_loses_nothing_of_a_commit() -> None:
    with transaction.atomic():
        publish_many("a")
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError):
            Room.objects.count()
        transaction.set_rollback(False)
        publish_many("b")
    assert published() == names("a") + names("b")


def test_a_connection_that_is_closed_in_its_transaction_loses_all_of_it() -> None:
    with suppress(Rollback), transaction.atomic():
        publish_many("a")
        connection.close()
        raise Rollback
    with transaction.atomic():
        publish_many("b")
    assert published() == names("b")


def test_with_autocommit_off_all_is_committed() -> None:
    transaction.set_autocommit(False)
    try:
        with transaction.atomic():
            publish_many("a")
        publish_many("b")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    publish(event("c"))
    assert published() == [*names("a"), *names("b"), "c"]


def test_a_wrapper_of_the_site_may_begin_before_and_end_between() -> None:
    seen: list[str] = []

    def wrapper(execute: Any, sql: str, *arguments: Any) -> Any:
        seen.append(sql)
        return execute(sql, *arguments)

    with transaction.atomic():
        with connection.execute_wrapper(wrapper):
            publish_many("a")
        number = len(seen)
        publish_many("b")
    assert connection.execute_wrappers == []
    assert len(seen) == number
    assert published() == names("a") + names("b")


def test_a_commit_that_the_site_has_replaced_is_called() -> None:
    calls: list[int] = []

    def commit() -> None:
        calls.append(1)
        type(real).commit(real)

    real = connections["default"]
    vars(real)["commit"] = commit
    try:
        with transaction.atomic():
            publish_many("a")
    finally:
        del vars(real)["commit"]
    assert calls
    assert published() == names("a")


def test_a_commit_that_the_site_replaces_later_calls_the_one_before() -> None:
    calls: list[int] = []
    real = connections["default"]
    with transaction.atomic():
        publish_many("a")
        before = real.commit

        def commit() -> None:
            calls.append(1)
            before()

        vars(real)["commit"] = commit
    del vars(real)["commit"]
    assert calls
    assert published() == names("a")


def test_the_connection_of_a_thread_ends_with_it(is_postgres: bool) -> None:
    kept: list[ReferenceType[Any]] = []

    def work() -> None:
        with suppress(Rollback), transaction.atomic():
            publish_many("a")
            if is_postgres:
                assert "commit" in vars(connections["default"])
            kept.append(ref(connections["default"]))
            raise Rollback
        connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join()
    del thread
    gc.collect()
    assert [one() for one in kept] == [None]


def test_in_a_test_case_nothing_waits_for_a_commit(is_postgres: bool) -> None:
    class Case(test.TestCase):
        def runTest(self) -> None:  # noqa: N802
            with telling() as told:
                with self.captureOnCommitCallbacks(execute=True):
                    publish_many("a")
                    assert not is_postgres or Pending.objects.count() == MANY
                assert len(told) == MANY

    result = unittest.TestResult()
    unittest.TestSuite([Case()]).run(result)
    assert [text for _, text in result.errors + result.failures] == []
    assert not Entry.objects.exists()
