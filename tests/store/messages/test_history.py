"""Reading rooms' logs, from anywhere in them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from realtime.models import Log, Message, Room
from realtime.store.logs import Changes, LogMark
from realtime.store.messages import history
from realtime.store.outbox import room_numbering
from realtime.wire.events import MessageState
from tests.store.says import draft, say


def change(message: Message, **fields: Any) -> None:
    """What an edit does: it takes the room's next position."""
    Log.objects.filter(room=message.room_id).update(last_seq=F("last_seq") + 1)
    end = history.mark(message.room_id).last_seq
    Message.objects.filter(pk=message.pk).update(changed_seq=end, **fields)


def delete(message: Message) -> None:
    change(message, deleted_at=datetime.now(UTC))


def purge(room: Room, through: int) -> None:
    """What pruning does: it removes the oldest rows and says how far."""
    gone = Message.objects.filter(room=room, changed_seq__lte=through)
    gone.delete()
    Log.objects.filter(room=room.pk).update(purged_seq=through)


def seqs(states: list[MessageState]) -> list[int]:
    return [state.seq for state in states]


def contents(states: list[MessageState]) -> list[str | None]:
    return [state.content for state in states]


def test_a_missing_head_is_made_by_the_first_look(room: Room) -> None:
    mark = history.mark(room.pk)
    assert (mark.last_seq, mark.purged_seq, mark.rights_seq, len(mark.epoch)) == (0, 0, 0, 8)
    assert history.mark(room.pk) == mark


def test_looking_at_no_room_at_all_is_an_error() -> None:
    with pytest.raises((IntegrityError, KeyError)):
        history.mark(999_999)


def test_marks_of_many_rooms_are_one_query(room: Room, other_room: Room) -> None:
    say(room, "a")
    say(other_room, "b", "c")
    with CaptureQueriesContext(connection) as queries:
        found = history.marks([room.pk, other_room.pk, 999_999])
    assert {pk: mark.last_seq for pk, mark in found.items()} == {room.pk: 1, other_room.pk: 2}
    assert len(queries) == 1


# Reading.


def test_since_gives_what_came_after_a_position(room: Room) -> None:
    say(room, "a", "b", "c")
    changes = history.since(room.pk, 1, 10)
    assert contents(changes.states) == ["b", "c"]
    assert (changes.through, changes.has_more) == (3, False)


def test_since_the_end_is_nothing(room: Room) -> None:
    say(room, "a")
    changes = history.since(room.pk, 1, 10)
    assert (changes.states, changes.through, changes.has_more) == ([], 1, False)


def test_since_stops_at_the_limit_and_goes_on_from_there(room: Room) -> None:
    say(room, *"abcde")
    first = history.since(room.pk, 0, 2)
    assert (contents(first.states), first.through, first.has_more) == (["a", "b"], 2, True)
    rest = history.since(room.pk, first.through, 10)
    assert (contents(rest.states), rest.through, rest.has_more) == (["c", "d", "e"], 5, False)


def test_a_page_that_is_just_full_has_no_more(room: Room) -> None:
    say(room, "a", "b")
    assert not history.since(room.pk, 0, 2).has_more
    assert not history.page(room.pk, 3, 2)[1]
    assert not history.recent(room.pk, 2)[1]


def test_since_gives_the_latest_state_of_a_changed_message_once_and_last(room: Room) -> None:
    first, second, _ = say(room, "a", "b", "c")
    change(first, content="a2")
    change(second, content="b2")
    change(first, content="a3")
    changes = history.since(room.pk, 2, 10)
    assert contents(changes.states) == ["c", "b2", "a3"]
    assert [state.position for state in changes.states] == [3, 5, 6]
    assert changes.through == 6


def test_since_reaches_past_positions_that_were_superseded(room: Room) -> None:
    [message] = say(room, "a")
    for text in ("b", "c", "d"):
        change(message, content=text)
    changes = history.since(room.pk, 1, 10)
    assert (contents(changes.states), changes.through) == (["d"], 4)
    assert history.since(room.pk, 4, 10).states == []


def test_a_deleted_message_is_a_tombstone_without_text(room: Room) -> None:
    [stored] = room_numbering.append([draft(room, "secret", data={"k": "secret"}, nonce="n")])
    delete(Message.objects.get(pk=stored.state.id))
    [state] = history.since(room.pk, 1, 10).states
    assert (state.deleted, state.content, state.data) == (True, None, None)
    assert (state.seq, state.changed_seq, state.user_id) == (1, 2, "7")
    for states in (history.page(room.pk, 9, 9)[0], history.newest(room.pk, 9).states):
        assert [(one.deleted, one.content, one.data) for one in states] == [(True, None, None)]


def test_an_edited_message_says_so(room: Room) -> None:
    [message] = say(room, "a")
    change(message, content="b", edited_at=datetime(2026, 1, 2, 3, 4, 5, 6789, tzinfo=UTC))
    [state] = history.since(room.pk, 0, 10).states
    assert (state.content, state.edited_at) == ("b", "2026-01-02T03:04:05.006Z")
    assert (state.seq, state.changed_seq, state.position) == (1, 2, 2)


def test_pages_go_back_by_place_whatever_was_changed(room: Room) -> None:
    messages = say(room, *"abcde")
    change(messages[0], content="A")
    states, has_more = history.page(room.pk, 6, 2)
    assert (contents(states), has_more) == (["d", "e"], True)
    states, has_more = history.page(room.pk, states[0].seq, 5)
    assert (contents(states), has_more) == (["A", "b", "c"], False)


def test_a_page_before_the_beginning_is_empty(room: Room) -> None:
    say(room, "a")
    assert history.page(room.pk, 1, 10) == history.page(room.pk, 0, 10) == ([], False)


def test_recent_is_the_newest_by_place(room: Room) -> None:
    messages = say(room, *"abcd")
    change(messages[0], content="A")
    states, has_more, mark = history.recent(room.pk, 2)
    assert (contents(states), has_more, mark.last_seq) == (["c", "d"], True, 5)


def test_newest_is_the_last_by_change_in_ascending_order(room: Room) -> None:
    messages = say(room, *"abcd")
    change(messages[0], content="A")
    changes = history.newest(room.pk, 3)
    assert contents(changes.states) == ["c", "d", "A"]
    assert (changes.through, changes.has_more) == (5, True)


def test_an_empty_room_reads_as_empty(room: Room) -> None:
    assert history.since(room.pk, 0, 10).states == []
    assert history.page(room.pk, 2**53 - 1, 10) == ([], False)
    assert history.recent(room.pk, 10)[0] == history.newest(room.pk, 10).states == []


def test_one_room_shows_nothing_of_another(room: Room, other_room: Room) -> None:
    say(other_room, "theirs")
    say(room, "ours")
    found = [
        history.since(room.pk, 0, 10).states,
        history.page(room.pk, 10, 10)[0],
        history.recent(room.pk, 10)[0],
        history.newest(room.pk, 10).states,
    ]
    assert [contents(states) for states in found] == [["ours"]] * 4


def test_what_was_purged_is_told_by_the_mark(room: Room) -> None:
    say(room, *"abcde")
    purge(room, 3)
    changes = history.since(room.pk, 1, 10)
    assert changes.mark.purged_seq == 3
    assert contents(changes.states) == ["d", "e"]
    assert history.page(room.pk, 6, 10) == (changes.states, False)


def test_a_fully_purged_room_goes_on_counting(room: Room) -> None:
    say(room, "a", "b")
    purge(room, 2)
    changes = history.since(room.pk, 2, 10)
    assert (changes.states, changes.through) == ([], 2)
    assert say(room, "c")[0].seq == 3


def test_a_head_cannot_be_purged_beyond_its_end(room: Room) -> None:
    say(room, "a")
    with pytest.raises(IntegrityError):
        Log.objects.filter(room=room.pk).update(purged_seq=2)


def test_a_message_outlives_its_user(room: Room) -> None:
    user = get_user_model().objects.create(username="ada")
    room_numbering.append([draft(room, user_pk=user.pk, sender=str(user.pk))])
    pk = user.pk
    user.delete()
    [state] = history.since(room.pk, 0, 10).states
    assert (state.user_id, state.username) == (str(pk), "ada")


# Two at once.


def test_what_is_committed_between_the_two_reads_is_never_skipped(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`since` reads the end first: a message committed right then is told now or later."""
    say(room, "a")
    real = history.mark

    def mark(room_id: int) -> LogMark:
        end = real(room_id)
        say(room, "b")
        return end

    monkeypatch.setattr(history, "mark", mark)
    changes = history.since(room.pk, 0, 10)
    monkeypatch.undo()
    later = history.since(room.pk, changes.through, 10)
    assert contents(changes.states + later.states) == ["a", "b"]


@pytest.mark.parametrize("reader", [history.recent, history.newest])
def test_what_is_beyond_the_told_end_is_not_shown(
    room: Room, monkeypatch: pytest.MonkeyPatch, reader: Callable[[int, int], Any]
) -> None:
    """A message committed after the end was read comes as an event, so not also in the page."""
    say(room, "a")
    real = history.mark

    def mark(room_id: int) -> LogMark:
        end = real(room_id)
        say(room, "b")
        return end

    monkeypatch.setattr(history, "mark", mark)
    found = reader(room.pk, 10)
    states = found[0]
    assert contents(states) == ["a"]


@pytest.mark.parametrize("reader", [partial(history.since, position=1), history.newest])
def test_a_purge_between_the_two_reads_is_told_by_the_mark(
    room: Room, monkeypatch: pytest.MonkeyPatch, reader: Callable[..., Changes[MessageState]]
) -> None:
    """The tombstone is gone, so a client that shows the message has to begin anew."""
    message, *_ = say(room, "a", "b", "c")
    delete(Message.objects.get(room=room, seq=message.seq))
    real = history.mark

    def mark(room_id: int) -> LogMark:
        end = real(room_id)
        purge(room, 4)
        return end

    monkeypatch.setattr(history, "mark", mark)
    changes = reader(room.pk, limit=10)
    assert (changes.states, changes.through, changes.mark.purged_seq) == ([], 4, 4)


# Indexes.


@pytest.fixture
def crowded(four_rooms: list[Room], is_postgres: bool) -> Iterator[Room]:
    """A room of 5,000 among 20,000 messages, known to the planner."""
    numbers = "SELECT n FROM generate_series(1, 5000) AS s(n)"
    if not is_postgres:
        numbers = "WITH RECURSIVE s(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM s LIMIT 5000)"
        numbers += " SELECT n FROM s"
    with connection.cursor() as cursor:
        for one in four_rooms:
            cursor.execute(
                "INSERT INTO realtime_message (room_id, seq, changed_seq, sender, username,"
                " content, nonce, created_at) SELECT %s, n, n, n %% 50, 'ada', 'hi', '~' || n,"
                f" CURRENT_TIMESTAMP FROM ({numbers}) AS numbers",
                [one.pk],
            )
            cursor.execute(
                "INSERT INTO realtime_head (room_id, last_seq, purged_seq, rights_seq, epoch)"
                " VALUES (%s, 5000, 0, 0, 'abcdefgh')",
                [one.pk],
            )
        cursor.execute("ANALYZE")
    yield four_rooms[1]
    if not is_postgres:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_stat1")


QUERIES: dict[str, Callable[[Room], object]] = {
    "since": lambda room: history.since(room.pk, 4000, 100),
    "since the end": lambda room: history.since(room.pk, 5000, 100),
    "page": lambda room: history.page(room.pk, 3000, 100),
    "recent": lambda room: history.recent(room.pk, 100),
    "newest": lambda room: history.newest(room.pk, 500),
    "append": lambda room: room_numbering.append([draft(room)]),
    "append again": lambda room: room_numbering.append([draft(room, sender="1", nonce="~1")] * 2),
    "append many": lambda room: room_numbering.append(
        [draft(one, sender=str(n)) for n in range(100) for one in Room.objects.all()]
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_of_the_history_reads_a_whole_table(crowded: Room, name: str) -> None:
    plans = list(explained(lambda: QUERIES[name](crowded)))
    assert plans
    for sql, plan in plans:
        assert "SCAN realtime_message" not in plan, sql
        assert "Seq Scan on realtime_message" not in plan, sql
        assert "TEMP B-TREE" not in plan, sql
        sorts = [line for line in plan.splitlines() if "Sort Key" in line]
        is_few = all("log.room_id" in line for line in sorts)  # the rooms of a batch
        assert is_few or "INSERT" in sql, sql  # where a batch is put in order


def explained(action: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """The plan of each statement about messages that an action makes."""
    seen: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "realtime_message" in sql and not sql.startswith("INSERT"):
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        action()
    with connection.cursor() as cursor:
        for sql, params in seen:
            explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
            cursor.execute(explain + sql, params)
            yield sql, "\n".join(str(row[-1]) for row in cursor.fetchall())
