"""Positions of entries: gapless, once each, in the order of publishing."""

from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from msgspec.structs import replace

from realtime.models import Entry, Log
from realtime.store.outbox import pending_entries, topic_numbering
from realtime.store.topics import rows
from realtime.store.topics.drafts import FirstTry
from realtime.store.topics.entries import NO_LOG, TopicLog
from realtime.store.topics.plan import Plan
from realtime.wire.errors import CommandError, ErrorCode

from .publishing import TOPIC, append, data, deletion, event, living, rights, stored, telling, value


def test_events_are_numbered_from_one_without_a_gap() -> None:
    append(event("a"), event("b"))
    append(event("c"))
    assert stored() == [(1, "a"), (2, "b"), (3, "c")]


def test_each_topic_has_positions_of_its_own() -> None:
    found = append(event("a"), event("b", "order/8"), event("c"), event("d", "order/8"))
    assert [(one.topic, one.state and one.state.seq, one.is_new) for one in found] == [
        (TOPIC, 1, True),
        ("order/8", 1, True),
        (TOPIC, 2, True),
        ("order/8", 2, True),
    ]
    assert [one.epoch for one in found] == [TopicLog(one.topic).mark().epoch for one in found]


def test_a_topic_without_entries_has_no_log() -> None:
    assert TopicLog(TOPIC).mark() == NO_LOG
    topic_numbering.number([TOPIC])
    assert not Log.objects.exists()


def test_what_is_told_is_what_is_read_back() -> None:
    words = ["é👩‍👧\u2028", "\\ \" ' %s {} $1 \x01 \x7f", "", {"a": [1, -2.5, 1e300, None, True]}]
    found = append(*(event(one, nonce=f"n{at}") for at, one in enumerate(words)))
    assert [one.state for one in found] == TopicLog(TOPIC).since(0, 10).states
    assert data([one.state for one in found]) == words


def test_the_clock_of_a_log_never_goes_back() -> None:
    append(event("a"))
    later = Log.objects.get().last_at.replace(year=2400)  # type: ignore[union-attr]
    Log.objects.update(last_at=later)
    append(event("b"))
    assert Entry.objects.get(seq=2).at == later


def test_a_nonce_is_stored_once() -> None:
    [first] = append(event("a", nonce="n"))
    again = append(event("other", nonce="n"), event("b"), event("c", nonce="m"), event(nonce="m"))
    assert [one.is_new for one in again] == [False, True, True, False]
    assert again[0].state == first.state
    assert again[3].state == again[2].state
    assert stored() == [(1, "a"), (2, "b"), (3, "c")]


def test_a_nonce_counts_in_its_topic() -> None:
    found = append(event("a", nonce="n"), event("b", "order/8", nonce="n"))
    assert [one.is_new for one in found] == [True, True]


# Keys.


def test_a_value_replaces_the_earlier_one_at_a_new_position() -> None:
    append(value("x", 1), event("e"), value("y", 1))
    append(value("x", 2))
    assert stored() == [(2, "e"), (3, 1), (4, 2)]
    row = Entry.objects.get(key="x")
    assert (row.seq, row.changed_seq) == (1, 4)


def test_several_changes_of_a_key_take_one_position_and_the_last_wins() -> None:
    found = append(value("x", 1), event("e"), value("x", 2), value("y", 3), value("x", 4))
    assert stored() == [(1, "e"), (2, 3), (3, 4)]
    assert [one.state and one.state.seq for one in found] == [3, 1, 3, 2, 3]
    assert [one.is_new for one in found] == [False, True, False, True, True]


def test_a_deleted_key_leaves_a_tombstone_and_can_be_set_again() -> None:
    append(value("x", 1))
    [deleted] = append(deletion("x"))
    assert deleted.state is not None
    assert (deleted.state.deleted, deleted.state.name, deleted.state.seq) == (True, "place", 2)
    assert stored() == [(2, "deleted")]
    append(value("x", 3))
    assert stored() == [(3, 3)]


def test_deleting_what_is_not_there_takes_no_position() -> None:
    [absent] = append(deletion("x"))
    append(value("x"), deletion("y"))
    append(deletion("x"))
    [again] = append(deletion("x"))
    assert (absent.state, absent.is_new, again.state, again.is_new) == (None, False, None, False)
    assert TopicLog(TOPIC).mark().last_seq == 2


def test_a_deletion_with_a_name_is_told_without_a_value() -> None:
    """Clients may know the value from elsewhere, such as their page."""
    named = replace(deletion("x"), type="place")
    for number in (1, 2):
        [told] = append(named)
        assert told.is_new
        assert told.state is not None
        assert (told.state.deleted, told.state.name, told.state.seq) == (True, "place", number)
    assert [one.is_new for one in append(deletion("x"), deletion("y"))] == [False, False]
    assert stored() == [(2, "deleted")]


def test_set_and_delete_in_one_batch_leave_the_last() -> None:
    append(value("x", 1), deletion("x"), value("y", 1))
    append(deletion("y"), value("y", 2))
    assert living() == {"y": 2}
    assert stored() == [(2, 2)]


# Compare and set.


def test_a_change_with_a_condition_needs_that_position() -> None:
    append(value("x", 1, if_seq=0), event())
    append(value("x", 2, if_seq=1))
    for wrong in (0, 1, 2):
        [refusal] = topic_numbering.append([value("x", 9, if_seq=wrong)])
        assert isinstance(refusal, CommandError)
        assert refusal.code is ErrorCode.CONFLICT
    assert living() == {"x": 2}
    assert TopicLog(TOPIC).mark().last_seq == 3
    append(deletion("x", if_seq=3))
    append(value("x", 5, if_seq=0))
    assert living() == {"x": 5}


def test_a_condition_in_a_batch_sees_what_is_before_it() -> None:
    """Also if that would otherwise be one position."""
    found = topic_numbering.append(
        [value("x", 1), value("x", 2, if_seq=1), value("x", 3, if_seq=1), value("x", 4)]
    )
    assert [type(one) is CommandError for one in found] == [False, False, True, False]
    assert living() == {"x": 4}
    assert TopicLog(TOPIC).mark().last_seq == 3


def test_a_repeated_change_with_a_condition_is_not_refused() -> None:
    """After a commit with an unknown outcome, the writer appends the batch again."""
    [first] = append(value("x", 1, if_seq=0, nonce="n"))
    [again] = append(value("x", 1, if_seq=0, nonce="n"))
    assert (again.state, again.is_new) == (first.state, False)


# Rights.


def test_a_change_of_rights_takes_no_position() -> None:
    with telling() as told:
        append(rights(), event("a"), rights())
        append(rights("other"))
    assert told == [{TOPIC: 2}, {"other": 1}]
    assert TopicLog(TOPIC).mark()[:3] == (1, 0, 2)
    assert TopicLog("other").mark()[:3] == (0, 0, 1)


# Costs.


def test_a_batch_takes_few_queries(is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("only PostgreSQL numbers by itself")
    append(*(event(topic=f"order/{number}") for number in range(20)))
    with CaptureQueriesContext(connection) as queries:
        append(*(event(topic=f"order/{number % 20}") for number in range(500)))
    assert len(queries) == 6  # begin, settings, lock, take, write, commit
    with CaptureQueriesContext(connection) as queries:
        append(*(value(f"k{number}", nonce=f"n{number}") for number in range(500)))
    assert len(queries) == 8


def test_both_ways_to_write_keep_the_same(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one way")
    batches = [
        [event("a", nonce="n"), value("x", 1, expires_seconds=60), value("y", 1)],
        [event("b", nonce="n"), value("x", 2), deletion("y"), event("é\u2028")],
        [value("x", 2, expires_seconds=60), value("y", 3)],
    ]
    for batch in batches:
        append(*batch)

    def write(alias: str, plan: Plan) -> None:
        moved = [log for log in plan.logs.values() if log.id in plan.changed]
        rows._write_by_orm(alias, plan, moved)

    monkeypatch.setattr(rows, "_find", rows._find_by_orm)
    monkeypatch.setattr(rows, "write", write)
    for batch in batches:
        append(*(replace(one, topic="by ORM") for one in batch))
    columns = ("seq", "changed_seq", "type", "key", "data", "nonce", "is_deleted")
    one, other = (
        list(Entry.objects.filter(log__name=name).order_by("pk").values_list(*columns))
        for name in (TOPIC, "by ORM")
    )
    assert one == other


def test_a_repeat_does_not_bring_an_older_value_back() -> None:
    """The row of a key has only its last nonce."""
    first = value("k", "v1", nonce="~1", first_try=FirstTry())
    gone = deletion("d", nonce="~2", first_try=FirstTry())
    append(value("d", "v1"))
    append(first, gone)
    append(value("k", "v2"), value("d", "v2"))
    repeated = append(first, gone)
    assert [one.is_new for one in repeated] == [False, False]
    assert living() == {"k": "v2", "d": "v2"}


def test_a_repeat_of_two_changes_of_a_key_leaves_the_last_one() -> None:
    drafts = [value("k", n, nonce=f"~{n}", first_try=FirstTry()) for n in range(2)]
    append(*drafts)
    append(*drafts)
    assert living() == {"k": 1}


def test_a_try_that_was_rolled_back_is_repeated() -> None:
    append(value("k", "v0"), event())
    draft = value("k", "v1", nonce="~1", first_try=FirstTry())
    with suppress(ValueError), transaction.atomic():
        append(draft)
        raise ValueError
    append(draft)
    assert living() == {"k": "v1"}


# On the way to PostgreSQL.


@pytest.mark.parametrize("is_bound", [False, True], ids=["joined", "server-side binding"])
def test_logs_are_locked_and_emptied_by_one_statement_where_that_is_possible(
    is_postgres: bool, is_bound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement with parameters on the server cannot be several."""
    if not is_postgres:
        pytest.skip("SQLite has no pending entries")
    append(event("first"), event("first", "order/8"))
    if is_bound:
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
        connection.close()
    try:
        pending_entries.insert("default", [event("a"), event("b", "order/8"), event("c")])
        pending_entries.insert("default", [event("new", "order/9")])
        with CaptureQueriesContext(connection) as queries:
            assert topic_numbering.number([TOPIC, "order/8"]) == 3
        assert topic_numbering.number([TOPIC, "order/9", "order/none"]) == 1
    finally:
        connection.close()
    taking = [one["sql"] for one in queries if "DELETE FROM realtime_pending" in one["sql"]]
    assert ["FOR NO KEY UPDATE" in sql for sql in taking] == [not is_bound]
    assert stored() == [(1, "first"), (2, "a"), (3, "c")]
    assert (stored("order/8"), stored("order/9")) == ([(1, "first"), (2, "b")], [(1, "new")])
    assert not Log.objects.filter(name="order/none").exists()
