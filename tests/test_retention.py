"""Retention of topics: each class says how long its entries are kept."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from realtime import retention
from realtime.models import Entry, Log
from realtime.store.topics import retention as entries
from realtime.topics import Event, Topic
from realtime.topics.registry import registry
from tests.store.conftest import empty, switched


class Paid(Event):
    total: int


@pytest.fixture(autouse=True)
def _database(sites: Sites, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), switched(sites.database_url("sqlite")), registry.isolated():
        empty()
        yield


def topic(name: str, keep: timedelta) -> Topic:
    made: type[Topic] = type(
        name.title(),
        (Topic,),
        {"__module__": __name__, "path": f"{name}/<int:pk>", "events": [Paid], "keep": keep},
    )
    return made(pk=1)


def test_each_class_keeps_its_entries_as_long_as_it_says() -> None:
    week, month = topic("week", timedelta(days=7)), topic("month", timedelta(days=30))
    always = topic("always", timedelta.max)
    for one in (week, month, always):
        one.publish_many([Paid(total=1), Paid(total=2)])
        one.set("x", Paid(total=3))
    days = {1: 40, 2: 10, 3: 40}
    for seq, age in days.items():
        Entry.objects.filter(seq=seq).update(at=timezone.now() - timedelta(days=age))
    assert retention.prune().entries == 3
    left = {name: list(rows(name)) for name in ("week/1", "month/1", "always/1")}
    assert left == {"week/1": [3], "month/1": [2, 3], "always/1": [1, 2, 3]}
    assert retention.prune().entries == 0


def rows(name: str) -> object:
    return Entry.objects.filter(log__name=name).order_by("seq").values_list("seq", flat=True)


def test_a_topic_without_a_class_keeps_everything() -> None:
    old = topic("old", timedelta(days=1))
    old.publish(Paid(total=1))
    Entry.objects.update(at=timezone.now() - timedelta(days=9))
    with registry.isolated():
        assert retention.prune().entries == 0
    assert retention.prune().entries == 1


def test_an_empty_log_goes_after_a_week() -> None:
    one = topic("week", timedelta(days=1))
    one.publish(Paid(total=1))
    Entry.objects.update(at=timezone.now() - timedelta(days=9))
    assert retention.prune()[-2:] == (1, 0)
    Log.objects.update(last_at=timezone.now() - timedelta(days=8))
    assert retention.prune()[-2:] == (0, 1)


def test_a_topic_that_is_locked_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        topic(name, timedelta(days=1)).publish(Paid(total=1))
    Entry.objects.update(at=timezone.now() - timedelta(days=9))
    purge = entries.purge

    def fail_first(name: str, before: object) -> Iterator[int]:
        if name == "a/1":
            raise DatabaseError("lock timeout")
        yield from purge(name, before)  # type: ignore[arg-type]

    monkeypatch.setattr(entries, "purge", fail_first)
    assert retention.prune().entries == 1
    assert "topic a/1" in caplog.text
