"""Rows that were written past the log: bulk queries, shells, fixtures and dumps."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.db import IntegrityError, connection, transaction

from realtime.models import Log, Message, Room
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history, logs, rows
from realtime.store.outbox import room_numbering
from realtime.store.rooms import access
from tests.store.says import delete, draft, say


def row(room: Room, seq: int, changed_seq: int | None = None, **more: Any) -> Message:
    return Message(
        **{
            "room": room,
            "seq": seq,
            "changed_seq": changed_seq or seq,
            "sender": "old",
            "username": "old",
            "content": f"old {seq}",
            "nonce": f"old{seq}",
            **more,
        }
    )


def by_bulk_create(room: Room) -> None:
    Message.objects.bulk_create(row(room, number) for number in range(1, 101))


def by_create(room: Room) -> None:
    for number in range(1, 101):
        row(room, number).save()


def with_a_head_that_is_missing(room: Room) -> None:
    by_bulk_create(room)
    Log.objects.filter(room=room.pk).delete()


def with_a_head_behind(room: Room) -> None:
    say(room, *"abc")
    Message.objects.all().delete()
    by_bulk_create(room)


def beyond_a_hole(room: Room) -> None:
    say(room, *"abc")
    Message.objects.bulk_create(row(room, number) for number in range(50, 147))


def with_later_changes(room: Room) -> None:
    Message.objects.bulk_create(row(room, number, number + 100) for number in range(1, 101))


def by_a_fixture(room: Room) -> None:
    rows = [row(room, number) for number in range(1, 101)]
    text = serializers.serialize("json", [Log(room=room), *rows])
    for one in serializers.deserialize("json", io.StringIO(text)):
        one.save()


def beyond_what_json_can_say(room: Room) -> None:
    by_bulk_create(room)
    Message.objects.filter(seq=100).update(seq=2**63 - 1, changed_seq=2**63 - 1)


WAYS = [
    by_bulk_create,
    by_create,
    with_a_head_that_is_missing,
    with_a_head_behind,
    beyond_a_hole,
    with_later_changes,
    by_a_fixture,
    beyond_what_json_can_say,
]


@pytest.mark.parametrize("write", WAYS)
def test_the_next_message_is_stored_after_the_rows(
    room: Room, write: Callable[[Room], None]
) -> None:
    write(room)
    last = Message.objects.filter(room=room).count()
    [stored] = room_numbering.append([draft(room, "new")])
    assert stored.is_new
    newest = Message.objects.order_by("-changed_seq").first()
    assert newest is not None
    assert newest.content == "new"
    assert stored.state.seq == newest.seq == history.mark(room.pk).last_seq >= last + 1
    assert stored.state.seq < 2**53
    assert stored.epoch == history.mark(room.pk).epoch


@pytest.mark.parametrize("write", WAYS)
def test_a_room_that_is_opened_shows_the_rows(room: Room, write: Callable[[Room], None]) -> None:
    write(room)
    total = Message.objects.filter(room=room).count()
    opened = logs.newest(room.pk, 200)
    assert len(opened.states) == total
    assert opened.mark.last_seq == opened.states[-1].position
    states, _, mark = history.recent(room.pk, 50)
    assert (len(states), mark.last_seq) == (50, opened.mark.last_seq)


@pytest.mark.parametrize("write", WAYS)
def test_the_old_rows_can_be_deleted_and_read(room: Room, write: Callable[[Room], None]) -> None:
    write(room)
    entry = access.rights(room.slug, Identity("guest:1", "x"))
    one = Message.objects.filter(room=entry.room_id).order_by("seq").first()
    assert one is not None
    deleted = delete(one.pk)
    assert deleted.state.position == history.mark(room.pk).last_seq


def test_who_is_behind_the_rows_gets_them_as_what_was_missed(room: Room) -> None:
    say(room, "a")
    Message.objects.bulk_create([row(room, 2), row(room, 3)])
    room_numbering.append([draft(room, "new")])
    missed = history.since(room.pk, 1, 10)
    assert [one.content for one in missed.states] == ["old 2", "old 3", "new"]


def test_a_batch_with_a_good_room_is_stored_too(room: Room, other_room: Room) -> None:
    by_bulk_create(room)
    stored = room_numbering.append([draft(room, "a"), draft(other_room, "b"), draft(room, "c")])
    assert [one.state.seq for one in stored] == [101, 1, 102]


def test_a_row_that_comes_between_lock_and_insert_costs_another_try(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock keeps out who writes past the log."""
    name = "_insert_at_once" if connection.vendor == "postgresql" else "_insert_by_orm"
    insert, tries = getattr(rows, name), []

    def late(*args: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise IntegrityError(NUMBER_TAKEN)
        return insert(*args)

    monkeypatch.setattr(rows, name, late)
    [stored] = room_numbering.append([draft(room, "a")])
    assert (stored.state.seq, len(tries)) == (1, 2)


NUMBER_TAKEN = 'duplicate key value violates unique constraint "realtime_message_seq"'


@pytest.mark.parametrize("fields", ["seq", "changed_seq"])
def test_a_taken_number_is_known_by_its_error(room: Room, fields: str) -> None:
    say(room, "a", "b")
    if fields == "seq":
        taken = row(room, 1, 9)
    else:
        Message.objects.filter(seq=1).update(seq=5, changed_seq=5)
        taken = row(room, 1, 2)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Message.objects.bulk_create([taken])
    assert logs.is_number_taken(caught.value)


def test_another_unique_value_is_no_number(room: Room) -> None:
    say(room, "a")
    Message.objects.update(nonce="n", sender="s")
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Message.objects.bulk_create([row(room, 7, nonce="n", sender="s")])
    assert not logs.is_number_taken(caught.value)


def test_a_log_that_is_whole_keeps_its_epoch_and_end(room: Room) -> None:
    say(room, "a")
    before = history.mark(room.pk)
    logs.repair(room.pk)
    assert history.mark(room.pk) == before


def test_numbers_that_are_too_large_begin_another_life_of_the_log(room: Room) -> None:
    """Members have positions of which nothing is true any more."""
    say(room, "a")
    before = history.mark(room.pk)
    beyond = row(room, 2**63 - 1)
    Message.objects.bulk_create([beyond])
    logs.repair(room.pk)
    after = history.mark(room.pk)
    assert (after.last_seq, after.epoch != before.epoch) == (2, True)
    assert list(Message.objects.order_by("seq").values_list("seq", "changed_seq")) == [
        (1, 1),
        (2, 2),
    ]


def test_a_database_without_own_statements_is_asked_by_the_orm(room: Room) -> None:
    """With the same result, for whatever the head and the rows say."""
    other = Room.objects.create(slug="other")
    say(room, *"abc")
    delete(Message.objects.latest("pk").pk)
    by_bulk_create(other)
    logs.lock_logs("default", {other.pk})
    by_bulk = row(other, 500)
    Message.objects.bulk_create([by_bulk])
    both = {room.pk, other.pk}
    with transaction.atomic():
        by_orm = {end[0]: tuple(end[1:6]) for end in logs._lock_by_orm("default", both)}
        own = logs.lock_logs("default", both)
    assert by_orm[room.pk] == (*own[room.pk], 4)
    assert by_orm[other.pk] == (100, own[other.pk].epoch, False, False, 500)
    assert own[other.pk].last_seq == 500
