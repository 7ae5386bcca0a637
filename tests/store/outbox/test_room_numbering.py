"""Messages of the site in its own transactions: stored if and only if those commit."""

from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import push
from realtime.models import Message, Pending, Room
from realtime.signals import messages_stored
from realtime.store.outbox import pending, pending_messages, room_numbering
from realtime.wire.errors import CommandError
from tests.store.conftest import together
from tests.store.says import draft, say

from .test_pending import Rollback, age, sequencer

__all__ = ["sequencer"]


def contents() -> list[str]:
    return list(Message.objects.order_by("room", "seq").values_list("content", flat=True))


def test_a_message_is_stored_with_the_commit(room: Room) -> None:
    """With all that was said of it, and told then."""
    user = get_user_model().objects.create(username="ada")
    told: list[Any] = []

    def hear(stored: list[Any], **_: Any) -> None:
        transaction.on_commit(lambda: told.extend(stored))

    messages_stored.connect(hear)
    try:
        with transaction.atomic():
            found = push.room(room).message("hi", user=user, data={"a": [1, None]}, nonce="n")
            assert (found, told) == (None, [])
    finally:
        messages_stored.disconnect(hear)
    row = Message.objects.get()
    assert (row.seq, row.content, row.data, row.nonce) == (1, "hi", {"a": [1, None]}, "n")
    assert (row.user, row.sender, row.username) == (user, str(user.pk), "ada")
    assert [(one.slug, one.state.content, one.is_new) for one in told] == [("general", "hi", True)]
    assert not Pending.objects.exists()


def test_nothing_of_a_rollback_is_stored(room: Room) -> None:
    with suppress(Rollback), transaction.atomic():
        push.room(room).message("lost")
        raise Rollback
    push.room(room).message("kept")
    assert contents() == ["kept"]


def test_a_room_is_not_locked_until_the_commit(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    with transaction.atomic():
        push.room(room).message("mine")
        together([lambda: say(room, "other")], seconds=5)
    assert contents() == ["other", "mine"]


def test_a_nonce_of_a_pending_message_counts(room: Room) -> None:
    with transaction.atomic():
        push.room(room).message("once", nonce="n")
        push.room(room).message("twice", nonce="n")
    assert push.room(room).message("again", nonce="n") == Message.objects.get()
    assert contents() == ["once"]


def test_an_append_numbers_first_what_is_pending(
    room: Room, other_room: Room, is_postgres: bool, sequencer: list[Any]
) -> None:
    """What is published after another's commit comes after it, also if nobody has numbered it."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    with transaction.atomic():
        for text in ("a", "b"):
            push.room(room).message(text, nonce=text)
    assert sequencer[-1] == (set(), {room.pk})
    assert contents() == []
    stored = room_numbering.append([draft(room, "c"), draft(other_room, "d")])
    assert [(one.state.content, one.state.seq) for one in stored] == [("c", 3), ("d", 1)]
    assert contents() == ["a", "b", "c", "d"]


def test_the_sweep_numbers_messages(room: Room, is_postgres: bool, sequencer: list[Any]) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    with transaction.atomic():
        push.room(room).message("a")
    age()
    assert pending.sweep() == 1
    assert contents() == ["a"]


def test_messages_of_a_deleted_room_or_user_are_no_obstacle(
    room: Room, other_room: Room, is_postgres: bool, sequencer: list[Any]
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    user = get_user_model().objects.create(username="ada")
    with transaction.atomic():
        push.room(other_room).message("of nobody")
        push.room(room).message("a", user=user)
    user.delete()
    rooms = {room.pk, other_room.pk}
    other_room.delete()
    assert room_numbering.number(rooms) == 1
    row = Message.objects.get()
    assert (row.content, row.user, row.username) == ("a", None, "ada")
    assert not Pending.objects.exists()


def test_a_message_that_cannot_be_stored_does_not_stop_its_room(
    room: Room,
    is_postgres: bool,
    sequencer: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    with transaction.atomic():
        push.room(room).message("a")
        push.room(room).message("b", username="bad")
        push.room(room).message("c")
    Pending.objects.filter(sender="site:bad").update(
        data='{"content": "b", "username": "' + "x" * 200 + '", "user_pk": null}'
    )
    assert room_numbering.number([room.pk]) == 2
    assert contents() == ["a", "c"]
    assert "is dropped" in caplog.text
    assert "xxx" not in caplog.text


@pytest.mark.parametrize(
    "fields", [{"username": "x" * 151}, {"nonce": "x" * 65}, {"content": "a\x00"}]
)
def test_a_message_that_cannot_be_stored_is_refused_at_once(
    room: Room, fields: dict[str, Any]
) -> None:
    with transaction.atomic():
        with pytest.raises(CommandError):
            push.room(room).message(**{"content": "a"} | fields)
        push.room(room).message("b")
    assert contents() == ["b"]


def test_a_room_that_is_gone_is_refused_at_once(room: Room, is_postgres: bool) -> None:
    if is_postgres:
        pytest.skip("PostgreSQL reads no room")
    gone = Room.objects.create(slug="gone")
    Room.objects.filter(pk=gone.pk).delete()
    with transaction.atomic(), pytest.raises(Room.DoesNotExist):
        push.room(gone).message("a")


def test_the_clock_of_a_host_does_not_delay_a_message(
    room: Room, is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep compares the time of publishing with the clock of the database."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    ahead = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(Pending._meta.get_field("created_at"), "_get_default", lambda: ahead)
    pending_messages.insert("default", draft(room))
    assert Pending.objects.get().created_at < ahead - timedelta(minutes=30)


def bad(room: Room, text: str = "bad") -> None:
    """Let a message wait that the database refuses."""
    pending_messages.insert("default", draft(room, text))
    waiting = Pending.objects.filter(room_id=room.pk, data__contains=text)
    waiting.update(data=f'{{"content": "b", "username": "{"x" * 200}", "user_pk": null}}')


def test_two_processes_drop_a_bad_message_once(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    say(room, "first")
    for number in range(12):
        bad(room, f"bad{number}")
        for text in ("a", "b"):
            pending_messages.insert("default", draft(room, f"{text}{number}"))
        together([lambda: room_numbering.number({room.pk})] * 3)
        room_numbering.number({room.pk})
        assert contents()[-2:] == [f"a{number}", f"b{number}"]
    assert not Pending.objects.exists()


def test_a_client_is_not_refused_beside_a_bad_message(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    say(room, "first")
    bad(room)
    pending_messages.insert("default", draft(room, "good"))
    room_numbering.append([draft(room, "client")])
    assert contents() == ["first", "good", "client"]
    assert not Pending.objects.exists()


BROKEN = ["", "{", "[]", "null", '{"content": null}', '{"content": "a", "username": 5}']


@pytest.mark.parametrize("data", [*BROKEN, '{"content": "a", "username": "a", "user_pk": "x"}'])
def test_a_message_that_cannot_be_decoded_stops_nothing(
    room: Room,
    other_room: Room,
    is_postgres: bool,
    data: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    for one in (room, other_room):
        pending_messages.insert("default", draft(one, "bad", nonce=f"bad {one.pk}"))
        Pending.objects.filter(nonce=f"bad {one.pk}").update(data=data)
        pending_messages.insert("default", draft(one, "good"))
    room_numbering.append([draft(room, "client")])
    assert room_numbering.number([room.pk, other_room.pk]) == 1
    assert contents() == ["good", "client", "good"]
    assert caplog.text.count("cannot be decoded") >= 1
    assert not Pending.objects.exists()


def test_a_field_of_a_newer_release_is_left_out(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    pending_messages.insert("default", draft(room, "new"))
    Pending.objects.update(data='{"content": "new", "username": "a", "topping": 1}')
    assert room_numbering.number([room.pk]) == 1
    assert contents() == ["new"]


def test_users_that_are_deleted_meanwhile_lose_no_message(room: Room, is_postgres: bool) -> None:
    """Also if numbering sees one user after the other vanish."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    say(room, "first")
    users = [get_user_model().objects.create(username=name) for name in ("ada", "bob")]
    for user in users:
        pending_messages.insert("default", draft(room, user.username, sender="u", user_pk=user.pk))
    has_deleted, may_commit = Event(), Event()

    def delete() -> None:
        with transaction.atomic():
            for user in users:
                user.delete()
            has_deleted.set()
            may_commit.wait(0.3)

    def number() -> None:
        assert has_deleted.wait(5)
        with suppress(DatabaseError):
            room_numbering.number({room.pk})

    together([delete, number])
    room_numbering.number({room.pk})
    assert contents() == ["first", "ada", "bob"]


def test_rows_that_are_written_past_the_log_drop_no_message(
    room: Room, is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position that was taken between the lock and the insert is tried again."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    real = room_numbering.store
    left = [3]

    def write_past(end: int) -> None:
        row = {"sender": "9", "nonce": str(end), "content": "past"}
        Message.objects.bulk_create([Message(room=room, seq=end, changed_seq=end, **row)])

    def store(alias: str, drafts: Any, logs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            together([lambda: write_past(logs[room.pk].last_seq + 1)])
        return real(alias, drafts, logs)

    monkeypatch.setattr(room_numbering, "store", store)
    for text in ("a", "b"):
        pending_messages.insert("default", draft(room, text))
    room_numbering.number({room.pk})
    assert Pending.objects.count() == 2
    room_numbering.number({room.pk})
    assert contents() == ["past"] * 3 + ["a", "b"]


def test_a_backlog_is_numbered_in_several_transactions_before_an_append(
    room: Room, is_postgres: bool
) -> None:
    """Also if one of its messages cannot be stored."""
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    pending_messages.insert("default", draft(room))
    row = Pending.objects.values("kind", "room_id", "sender", "data").get()
    waiting = [Pending(**row, nonce=f"n{number}") for number in range(pending_messages.BATCH)]
    Pending.objects.bulk_create(waiting)
    with CaptureQueriesContext(connection) as queries:
        room_numbering.append([draft(room, "last")])
    assert sum(one["sql"] == "COMMIT" for one in queries) == 3
    assert Message.objects.count() == pending_messages.BATCH + 2
    Pending.objects.bulk_create(waiting)
    bad(room)
    room_numbering.append([draft(room, "client")])
    assert contents()[-1] == "client"
    assert not Pending.objects.exists()
