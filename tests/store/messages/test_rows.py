"""Writing rooms' logs: gapless, once each, and nobody waits for long."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from realtime.models import Log, Message, Room
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history, rows
from realtime.store.outbox import room_numbering
from realtime.store.rooms import access
from tests.store.conftest import together
from tests.store.says import draft, say


def test_messages_are_numbered_from_one_without_a_gap(room: Room) -> None:
    say(room, "a", "b")
    say(room, "c")
    rows = Message.objects.order_by("seq").values_list("seq", "changed_seq", "content")
    assert list(rows) == [(1, 1, "a"), (2, 2, "b"), (3, 3, "c")]
    assert history.mark(room.pk).last_seq == 3


def test_results_come_in_the_order_of_the_drafts(room: Room, other_room: Room) -> None:
    drafts = [draft(room, "a"), draft(other_room, "b"), draft(room, "c"), draft(other_room, "d")]
    stored = room_numbering.append(drafts)
    assert [(one.state.content, one.state.seq) for one in stored] == [
        ("a", 1),
        ("b", 1),
        ("c", 2),
        ("d", 2),
    ]
    assert all(one.is_new and one.state.id for one in stored)
    assert [one.epoch for one in stored] == [history.mark(one.room_id).epoch for one in stored]


def test_rooms_that_get_different_numbers_of_messages_move_by_their_own(room: Room) -> None:
    several = [Room.objects.create(slug=f"r{number}") for number in range(5)]
    room_numbering.append(
        [draft(one) for number, one in enumerate(several) for _ in range(number + 1)]
    )
    room_numbering.append([draft(one) for one in several])
    assert [history.mark(one.pk).last_seq for one in several] == [2, 3, 4, 5, 6]


def test_everything_a_draft_says_is_kept(room: Room) -> None:
    user = get_user_model().objects.create(username="ada")
    data = {"deep": [1, 2.5, None, True, {"é": "👩‍👩‍👧‍👦"}]}
    text = "שָׁלוֹם \u202e‮ \\ ' \" %s {} \u2028"
    room_numbering.append(
        [draft(room, text, user_pk=user.pk, data=data, sender=str(user.pk), nonce="n")]
    )
    row = Message.objects.get()
    assert (row.content, row.data, row.user, row.nonce) == (text, data, user, "n")
    assert (row.sender, row.username) == (str(user.pk), "ada")


WORDS = ["é👩‍👧\u2028", "\\ \" ' %s {} $1 \x01 \x7f", "x" * 4000, "", " "]
DATA: list[dict[str, Any] | None] = [
    None,
    {},
    {"a": [1, -2.5, 1e300, 2**53 - 1, None, True, {"é": '\\ " \u2028'}]},
]


@pytest.mark.parametrize("insert", ["_insert_at_once", "_insert_by_orm"])
def test_both_ways_to_insert_keep_the_same(
    room: Room, is_postgres: bool, insert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told is what is read back, whoever the sender."""
    if not is_postgres and insert == "_insert_at_once":
        pytest.skip("only PostgreSQL numbers by itself")
    monkeypatch.setattr(rows, "_insert_at_once", getattr(rows, insert))
    user = get_user_model().objects.create(username="ada")
    drafts = [
        draft(room, words, data=data, user_pk=pk)
        for words in WORDS
        for data in DATA
        for pk in (None, user.pk)
    ]
    stored = room_numbering.append(drafts)
    read = history.since(room.pk, 0, 100).states
    assert [one.state for one in stored] == read
    assert [(state.content, state.data) for state in read] == [
        (one.content, one.data) for one in drafts
    ]
    users = Message.objects.order_by("seq").values_list("user_id", flat=True)
    assert list(users) == [one.user_pk for one in drafts]


def test_text_that_the_database_cannot_hold_stores_nothing(room: Room, is_postgres: bool) -> None:
    """The wire refuses NUL; a caller in Python might not have."""
    if not is_postgres:
        pytest.skip("SQLite can hold it")
    with pytest.raises((DataError, ValueError)):
        room_numbering.append([draft(room, "a"), draft(room, "a\x00b")])
    assert history.mark(room.pk).last_seq == 0


def test_nothing_to_append_asks_the_database_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert room_numbering.append([]) == []
    assert len(queries) == 0


def test_the_same_nonce_is_stored_once_and_answered_alike(room: Room) -> None:
    [first] = room_numbering.append([draft(room, "a", nonce="n")])
    say(room, "between")
    [again] = room_numbering.append([draft(room, "other words", nonce="n")])
    assert (first.is_new, again.is_new) == (True, False)
    assert again.state == first.state
    assert (again.state.seq, again.state.content) == (1, "a")
    assert history.mark(room.pk).last_seq == 2


def test_the_same_nonce_twice_in_a_batch_is_one_message(room: Room) -> None:
    stored = room_numbering.append(
        [draft(room, "a", nonce="n"), draft(room), draft(room, "b", nonce="n")]
    )
    assert [(one.state.seq, one.is_new) for one in stored] == [(1, True), (2, True), (1, False)]
    assert Message.objects.count() == 2


@pytest.mark.parametrize("other", [{"sender": "8"}, {"nonce": "m"}, {"sender": "guest:7"}])
def test_only_the_same_sender_and_nonce_are_the_same(room: Room, other: dict[str, str]) -> None:
    stored = room_numbering.append([draft(room, nonce="n"), draft(room, **{"nonce": "n"} | other)])
    assert [one.state.seq for one in stored] == [1, 2]


def test_the_same_nonce_in_another_room_is_another_message(room: Room, other_room: Room) -> None:
    room_numbering.append([draft(room, nonce="n")])
    [stored] = room_numbering.append([draft(other_room, nonce="n")])
    assert stored.is_new


def test_a_batch_of_old_and_new_keeps_what_is_old(room: Room) -> None:
    old = room_numbering.append(
        [draft(room, str(number), nonce=str(number)) for number in range(0, 10, 2)]
    )
    batch = room_numbering.append([draft(room, "x", nonce=str(number)) for number in range(10)])
    assert [one.is_new for one in batch] == [False, True] * 5
    assert [one.state for one in batch[::2]] == [one.state for one in old]
    assert [one.state.seq for one in batch[1::2]] == [6, 7, 8, 9, 10]


def test_drafts_without_a_nonce_are_never_the_same(room: Room) -> None:
    say(room, *["same"] * 100)
    assert Message.objects.count() == 100
    assert {state.nonce for state in history.since(room.pk, 0, 100).states} == {None}


def test_a_given_nonce_is_told(room: Room) -> None:
    [stored] = room_numbering.append([draft(room, nonce="mine")])
    assert stored.state.nonce == "mine"


def test_a_rollback_leaves_no_hole(room: Room) -> None:
    say(room, "a")
    with transaction.atomic():
        say(room, "lost")
        transaction.set_rollback(True)
    [kept] = say(room, "b")
    assert kept.seq == 2
    assert history.mark(room.pk).last_seq == 2


def test_one_bad_draft_stores_nothing_of_its_batch(room: Room) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        room_numbering.append([draft(room), draft(room, user_pk=999_999)])
    assert Message.objects.count() == 0
    assert say(room, "next")[0].seq == 1


def test_a_room_that_does_not_exist_is_refused(room: Room) -> None:
    with pytest.raises(IntegrityError):
        room_numbering.append([draft(room, room_id=999_999)])
    assert not Log.objects.filter(room=999_999).exists()


def test_a_stale_room_saved_between_two_messages_rewinds_nothing(room: Room) -> None:
    stale = Room.objects.select_related("log").get(pk=room.pk)
    history.mark(room.pk)
    say(room, "a", "b")
    stale.title = "changed in the admin"
    stale.save()
    assert say(room, "c")[0].seq == 3
    assert history.mark(room.pk).last_seq == 3


def test_a_missing_head_is_made_by_the_first_message(room: Room) -> None:
    assert not Log.objects.exists()
    [stored] = room_numbering.append([draft(room)])
    assert (stored.state.seq, len(stored.epoch)) == (1, 8)
    assert history.mark(room.pk).epoch == stored.epoch


def test_a_batch_costs_the_same_few_queries_whatever_its_size(room: Room, other_room: Room) -> None:
    say(room, "a")
    say(other_room, "a")
    numbers = []
    for size in (2, 50):
        drafts = [
            draft(one, nonce=f"{size}.{n}") for n in range(size // 2) for one in (room, other_room)
        ]
        with CaptureQueriesContext(connection) as queries:
            room_numbering.append(drafts)
        statements = [query["sql"].split()[0] for query in queries]
        numbers.append(len([word for word in statements if word not in ("BEGIN", "COMMIT")]))
    # PostgreSQL: lock, insert. SQLite: lock, read heads, look for nonces, insert, move each head.
    assert numbers == ([2, 2] if connection.vendor == "postgresql" else [5, 5])


# Two at once.


@pytest.mark.parametrize("made", [True, False], ids=["heads exist", "heads are made"])
def test_eight_writers_leave_no_gap_and_no_deadlock(four_rooms: list[Room], made: bool) -> None:
    if made:
        room_numbering.append([draft(one) for one in four_rooms])

    def write(number: int) -> None:
        order = four_rooms if number % 2 else four_rooms[::-1]
        for turn in range(6):
            batch = [draft(one, nonce=f"{number}.{turn}.{n}") for one in order for n in range(3)]
            room_numbering.append(batch)

    together([lambda number=number: write(number) for number in range(8)])
    for one in four_rooms:
        total = 8 * 6 * 3 + made
        assert list(
            Message.objects.filter(room=one).order_by("seq").values_list("seq", flat=True)
        ) == list(range(1, total + 1))
        assert history.mark(one.pk).last_seq == total


def test_the_same_nonce_from_two_writers_is_one_message(room: Room) -> None:
    drafts = [draft(room, str(number), nonce=str(number)) for number in range(20)]

    def write() -> list[int]:
        return [room_numbering.append([one])[0].state.seq for one in drafts]

    results = together([write] * 4)
    assert Message.objects.count() == 20
    assert all(result == results[0] for result in results)


def test_a_locked_room_is_given_up_after_the_timeout(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite locks the whole file")
    say(room, "a")
    with transaction.atomic():
        Log.objects.select_for_update().get(room=room.pk)

        def write() -> str:
            try:
                room_numbering.append([draft(room)], lock_timeout_ms=100)
            except DatabaseError as error:
                return str(error.__cause__.sqlstate)  # type: ignore[union-attr]
            return "stored"

        assert together([write]) == ["55P03"]
    assert history.mark(room.pk).last_seq == 1


def test_a_lock_on_one_room_delays_no_other(
    room: Room, other_room: Room, is_postgres: bool
) -> None:
    if not is_postgres:
        pytest.skip("SQLite locks the whole file")
    say(room, "a")
    say(other_room, "a")
    with transaction.atomic():
        Log.objects.select_for_update().get(room=room.pk)
        [[stored]] = together(
            [lambda: room_numbering.append([draft(other_room)], lock_timeout_ms=100)]
        )
    assert stored.state.seq == 2


def test_a_lock_timeout_does_not_outlive_its_transaction(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("only PostgreSQL has one")
    room_numbering.append([draft(room)], lock_timeout_ms=100)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        )
        assert cursor.fetchone() == ("0", "0")


def test_entering_a_room_does_not_wait_for_its_writer(room: Room, is_postgres: bool) -> None:
    """The head is locked without its key: rows that refer to the room can be inserted."""
    if not is_postgres:
        pytest.skip("SQLite locks the whole file")
    say(room, "a")
    with transaction.atomic():
        say(room, "b")
        user = together([lambda: get_user_model().objects.create(username="ada")])[0]
        together([lambda: access.enter(room.slug, Identity.of(user))], seconds=5)
    assert room.memberships.count() == 1
