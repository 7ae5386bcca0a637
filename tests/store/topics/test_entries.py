"""Reads of a topic's log: positions, pages, and an index for each."""

import re
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.models import Entry, Log
from realtime.store.outbox import expiry
from realtime.store.topics import entries, retention
from realtime.store.topics.entries import NO_LOG, TopicLog, topic_key

from ..outbox.publishing import TOPIC, append, data, deletion, event, living, rights, value

LOG = TopicLog(TOPIC)


def positions(found: Any) -> list[int]:
    return [one.position for one in found.states]


def test_a_topic_without_a_log_is_at_the_beginning() -> None:
    for changes in (LOG.since(0, 10), LOG.newest(10), LOG.start(10, 10), LOG.older(5, 10)):
        assert (changes.states, changes.mark, changes.has_more) == ([], NO_LOG, False)
    assert LOG.since(0, 10).through == 0
    assert (LOG.page(9, 10), LOG.position_at(timezone.now())) == (([], False), 0)
    assert (LOG.value("x"), list(LOG.values())) == (None, [])
    LOG.renew_epoch("")
    assert not Log.objects.exists()


def test_the_marks_of_many_topics() -> None:
    append(event(), event(topic="order/8"), rights("order/8"))
    logs = [LOG, TopicLog("order/8"), TopicLog("none")]
    marks = TopicLog.marks(logs)
    assert [marks[one.key][:3] for one in logs] == [(1, 0, 0), (1, 0, 1), (0, 0, 0)]
    assert marks == {one.key: one.mark() for one in logs}
    assert LOG.key == topic_key(TOPIC) == f"topic.{topic_key(TOPIC)[6:]}"


def test_many_marks_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MARKS_AT_ONCE", 3)
    names = [f"t{number}" for number in range(7)]
    append(*(event(topic=name) for name in names))
    assert [mark.last_seq for mark in entries.marks([*names, "none"]).values()] == [1] * 7 + [0]


def test_changes_come_in_pages() -> None:
    append(*(event(number) for number in range(5)))
    first = LOG.since(1, 2)
    assert (positions(first), first.through, first.has_more) == ([2, 3], 3, True)
    rest = LOG.since(3, 2)
    assert (positions(rest), rest.through, rest.has_more) == ([4, 5], 5, False)
    assert LOG.since(5, 2).through == 5
    assert LOG.since(2, 0)[:2] == ([], 2)


def test_up_to_a_position_only_keys_are_read() -> None:
    append(event(), value("a"), event(), value("b"), event(), value("c"))
    append(deletion("b"))
    found = LOG.since(0, 10, until=5)
    assert positions(found) == [2, 6, 7]
    assert [one.deleted for one in found.states] == [False, False, True]
    page = LOG.since(0, 2, until=5)
    assert (positions(page), page.through, page.has_more) == ([2, 6], 6, True)
    assert positions(LOG.since(2, 1, until=5)) == [6]
    assert positions(LOG.since(0, 10, until=100)) == [2, 6, 7]


def test_a_start_has_the_living_keys_and_the_newest_events() -> None:
    append(event("old"), value("a", 1), value("gone", 1), event("e"), value("b", 2), event("f"))
    append(deletion("gone"))
    found = LOG.start(10, 2)
    assert data(found.states) == [1, "e", 2, "f"]
    assert (found.through, found.has_more) == (7, False)
    assert data(LOG.start(10, 0).states) == [1, 2]
    assert LOG.start(0, 0)[:2] == ([], 0)


def test_a_start_with_more_keys_goes_on_by_since() -> None:
    append(event("e"), *(value(f"k{number}", number) for number in range(5)), event("f"))
    first = LOG.start(2, 5)
    assert (data(first.states), first.through, first.has_more) == (["e", 0, 1, "f"], 3, True)
    append(event("new"))
    rest = LOG.since(first.through, 10, until=first.mark.last_seq)
    assert data(rest.states) == [2, 3, 4, "new"]
    assert (rest.through, rest.has_more) == (8, False)


def test_the_newest_and_older_changes() -> None:
    append(*(event(number) for number in range(6)))
    newest = LOG.newest(2)
    assert (positions(newest), newest.through, newest.has_more) == ([5, 6], 6, True)
    assert LOG.newest(10).has_more is False
    older = LOG.older(4, 2)
    assert (positions(older), older.through, older.has_more) == ([3, 4], 4, True)
    assert LOG.older(2, 2).has_more is False


def test_a_page_of_history_has_events_only() -> None:
    append(event(0), value("x"), event(1), event(2))
    assert (data(LOG.page(100, 2)[0]), LOG.page(100, 2)[1]) == ([1, 2], True)
    assert (data(LOG.page(3, 2)[0]), LOG.page(3, 2)[1]) == ([0], False)
    assert LOG.page(3, 0) == ([], True)


def test_a_moment_is_a_position() -> None:
    append(event(), event(), event(), event())
    now = timezone.now()
    for seq in range(1, 5):
        Entry.objects.filter(seq=seq).update(at=now - timedelta(minutes=10 - seq))
    Log.objects.update(last_at=now - timedelta(minutes=6))
    minutes = [LOG.position_at(now - timedelta(minutes=10.5 - seq)) for seq in range(1, 6)]
    assert minutes == [0, 1, 2, 3, 4]


def test_values_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PAGE", 2)
    append(*(value(f"k{number}", number) for number in range(5)), event())
    append(deletion("k1"), value("k0", 9))
    assert data(list(LOG.values())) == [2, 3, 4, 9]
    found = LOG.value("k0")
    assert found is not None
    assert (data([found]), found.seq) == ([9], 8)
    assert LOG.value("k1") is LOG.value("none") is None


def test_an_epoch_is_renewed_once() -> None:
    append(event())
    epoch = LOG.mark().epoch
    LOG.renew_epoch(epoch)
    renewed = LOG.mark().epoch
    LOG.renew_epoch(epoch)
    assert LOG.mark().epoch == renewed != epoch


# Snapshots while values change.


@pytest.mark.parametrize("seed", range(12))
def test_a_snapshot_in_pages_and_what_follows_is_the_state(seed: int) -> None:
    """A client that reads the pages while values are set, deleted, purged and expire."""
    random = Random(seed)
    change(random, 60)
    client = Client(random.randint(1, 7))
    for _ in range(40):
        change(random, random.randint(0, 8))
        client.read()
    while client.has_more:
        client.read()
    assert client.state == living()
    assert client.through == LOG.mark().last_seq


class Client:
    """Subscribes, reads page by page, and begins anew when something may be missing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.begin()

    def begin(self) -> None:
        page = LOG.start(self.size, 3)
        self.state: dict[Any, Any] = {}
        self.until = page.mark.last_seq
        self.apply(page)

    def read(self) -> None:
        page = LOG.since(self.through, self.size, until=self.until)
        if page.mark.purged_seq > max(self.through, self.until):
            self.begin()
        else:
            self.apply(page)

    def apply(self, page: Any) -> None:
        self.through, self.has_more = page.through, page.has_more
        for one, what in zip(page.states, data(page.states), strict=True):
            if one.key is not None:
                self.state.pop(one.key, None)
                if not one.deleted:
                    self.state[one.key] = what


def change(random: Random, steps: int) -> None:
    for number in range(steps):
        key = f"k{random.randrange(15)}"
        match random.randrange(8):
            case 0 | 1 | 2:
                append(value(key, random.random()))
            case 3:
                append(
                    value(key, number, expires_seconds=60), value(key, number + 1), event(number)
                )
            case 4:
                append(deletion(key))
            case 5:
                append(event(number))
            case 6:
                append(value(key, number, expires_seconds=60))
                Entry.objects.filter(key=key).update(expires_at=timezone.now())
                expiry.expire()
            case 7 if random.random() < 0.2:
                seen = Entry.objects.order_by("changed_seq").values_list("at", flat=True)
                list(retention.purge(TOPIC, seen[random.randrange(len(seen))]))


# Indexes.


READS: dict[str, Callable[[], object]] = {
    "mark": LOG.mark,
    "marks": lambda: entries.marks([TOPIC, "t1", "t2"]),
    "since": lambda: LOG.since(100, 50),
    "since, keys": lambda: LOG.since(100, 20, until=5000),
    "start": lambda: LOG.start(20, 20),
    "newest": lambda: LOG.newest(20),
    "older": lambda: LOG.older(2000, 20),
    "page": lambda: LOG.page(1000, 20),
    "value": lambda: LOG.value("k7"),
    "values": lambda: next(LOG.values()),
    "position": lambda: LOG.position_at(timezone.now() - timedelta(days=1)),
    "append": lambda: append(event(), value("k7", nonce="n")),
    "expire": expiry.expire,
    "purge": lambda: list(retention.purge(TOPIC, timezone.now() - timedelta(days=1))),
}


def test_each_read_uses_an_index_and_no_sort(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("PostgreSQL explains its plans")
    fill()
    for name, read in READS.items():
        with CaptureQueriesContext(connection) as queries:
            read()
        found = [one["sql"] for one in queries if re.match(r"\s*(SELECT|WITH|DEL)", one["sql"])]
        assert found, name
        for plan in map(explain, found):
            assert not re.search(r"Seq Scan on realtime_(entry|head)", plan), (name, plan)
            if name not in ("marks", "append", "purge"):
                assert "Sort" not in plan, (name, plan)


def fill() -> None:
    """Many topics, and one with many entries: enough that a plan without an index loses."""
    append(*(event(number, topic=f"t{number}") for number in range(2000)))
    append(
        *(event(number) if number % 2 else value(f"k{number}", number) for number in range(6000))
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE realtime_entry, realtime_head, realtime_pending")


def explain(query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_a_log_that_was_deleted_while_it_was_read_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client would take itself for complete, and would miss what was purged."""
    append(*[event(number) for number in range(5)])
    later = timezone.now() + timedelta(seconds=1)
    read = entries._rows

    def delete_and_read(log_id: Any, **conditions: Any) -> Any:
        list(retention.purge(TOPIC, later))
        retention.delete_idle_logs(later)
        return read(log_id, **conditions)

    monkeypatch.setattr(entries, "_rows", delete_and_read)
    changes = TopicLog(TOPIC).since(2, 100)
    assert (changes.states, changes.through, changes.mark) == ([], 0, NO_LOG)
