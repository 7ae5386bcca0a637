"""Deleting what was said: the text is gone, its place stays."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from realtime.models import Log, Message, Room
from realtime.store.messages import history, rows
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox import room_numbering
from realtime.store.outbox.room_batch import write_all
from tests.store.conftest import together
from tests.store.says import delete


def say(room: Room, *contents: str) -> list[int]:
    drafts = [
        Draft(room_id=room.pk, content=one, sender="1", username="ada", data={"x": 1}, nonce=one)
        for one in contents
    ]
    return [stored.state.id for stored in room_numbering.append(drafts)]


def test_a_deleted_message_keeps_its_place_and_nothing_else(room: Room) -> None:
    """The change has the next position; the row holds neither text nor data."""
    first, _ = say(room, "secret", "b")
    stored = delete(first)
    assert (stored.state.seq, stored.state.position, stored.is_new) == (1, 3, True)
    assert (stored.state.deleted, stored.state.content, stored.state.data) == (True, None, None)
    row = Message.objects.get(pk=first)
    assert (row.content, row.data, row.seq, row.changed_seq) == ("", None, 1, 3)
    assert Log.objects.get(room=room).last_seq == 3


def test_who_was_away_hears_of_it_once(room: Room) -> None:
    first, _ = say(room, "secret", "b")
    delete(first)
    found = history.since(room.pk, 2, 10)
    assert [(state.id, state.deleted) for state in found.states] == [(first, True)]
    assert found.through == 3


def test_deleting_again_changes_nothing(room: Room) -> None:
    [message] = say(room, "a")
    first = delete(message)
    again = delete(message)
    assert (again.state, again.is_new) == (first.state, False)
    assert Log.objects.get(room=room).last_seq == 2


def test_what_is_not_there_cannot_be_deleted(room: Room) -> None:
    with pytest.raises(Message.DoesNotExist):
        delete(1)


def test_its_nonce_is_still_that_of_one_message(room: Room) -> None:
    """A sender who repeats it gets the first one's place, and the text does not come back."""
    [message] = say(room, "a")
    delete(message)
    assert say(room, "b", "a", "c")[1] == message
    assert say(room, "a") == [message]
    assert Message.objects.get(pk=message).content == ""
    assert Message.objects.count() == 3
    other = Draft(room_id=room.pk, content="a", sender="2", username="bob", nonce="a")
    assert room_numbering.append([other])[0].is_new


def test_a_repeat_of_a_deleted_message_is_not_judged_by_slow_mode(room: Room) -> None:
    [message] = say(room, "a")
    delete(message)
    draft = Draft(
        room_id=room.pk, content="a", sender="1", username="ada", nonce="a", slow_seconds=60
    )
    [again] = write_all([draft])
    assert isinstance(again, Stored)
    assert (again.state.id, again.state.deleted, again.is_new) == (message, True, False)


def test_a_deleted_message_is_not_imported_again(room: Room) -> None:
    [message] = say(room, "a")
    delete(message)
    Log.objects.update(deleted_at=None)
    drafts = [
        Draft(room_id=room.pk, content=one, sender="1", username="ada", nonce=one)
        for one in ("a", "b")
    ]
    assert rows.import_drafts(drafts) == 1
    assert sorted(Message.objects.values_list("content", flat=True)) == ["", "b"]


def test_its_nonce_is_told_to_nobody_and_stands_in_no_row(room: Room) -> None:
    """A client may have put the text itself into it; rows of before are not told either."""
    [message] = say(room, "secret")
    stored = delete(message)
    found = [stored.state, *history.since(room.pk, 0, 9).states, *history.page(room.pk, 9, 9)[0]]
    assert [state.nonce for state in found] == [None] * 3
    row = Message.objects.get(pk=message)
    assert "secret" not in str(vars(row))
    Message.objects.update(nonce="secret")
    assert history.since(room.pk, 0, 9).states[0].nonce is None


def test_its_nonce_is_found_after_the_secret_key_was_replaced(
    room: Room, settings: Settings
) -> None:
    [message] = say(room, "a")
    delete(message)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert say(room, "a") == [message]


def test_a_room_without_deletions_is_not_asked_about_them(
    room: Room, django_assert_num_queries: Any
) -> None:
    say(room, "a")
    with CaptureQueriesContext(connection) as before:
        say(room, "b")
    [message] = say(room, "c")
    delete(message)
    Log.objects.update(deleted_at=timezone.now() - timedelta(days=8))
    with django_assert_num_queries(len(before)):
        say(room, "d")
    Log.objects.update(deleted_at=timezone.now())
    with django_assert_num_queries(len(before) + 1):
        say(room, "e")


def test_deletes_and_messages_at_once_leave_no_hole(room: Room) -> None:
    """Each takes a position of its own."""
    ids = say(room, *"abcdefgh")
    jobs = [lambda pk=pk: delete(pk) for pk in ids]
    together([*jobs, *[lambda name=name: say(room, name) for name in "ijkl"]])
    positions = sorted(Message.objects.values_list("changed_seq", flat=True))
    assert positions == list(range(9, 21))
    assert Log.objects.get(room=room).last_seq == 20
