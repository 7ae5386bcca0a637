"""Deleting what was said: the text is gone, its place stays."""

import pytest

from realtime.models import Head, Message, Room
from realtime.store import changes, history, log
from realtime.store.log import Draft
from tests.store.conftest import together


def say(room: Room, *contents: str) -> list[int]:
    drafts = [
        Draft(room_id=room.pk, content=one, sender="1", username="ada", data={"x": 1}, nonce=one)
        for one in contents
    ]
    return [stored.state.id for stored in log.append(drafts)]


def test_a_deleted_message_keeps_its_place_and_nothing_else(room: Room) -> None:
    """The change has the next position; the row holds neither text nor data."""
    first, _ = say(room, "secret", "b")
    stored = changes.delete(first)
    assert (stored.state.seq, stored.state.position, stored.is_new) == (1, 3, True)
    assert (stored.state.deleted, stored.state.content, stored.state.data) == (True, None, None)
    row = Message.objects.get(pk=first)
    assert (row.content, row.data, row.seq, row.changed_seq) == ("", None, 1, 3)
    assert Head.objects.get(room=room).last_seq == 3


def test_who_was_away_hears_of_it_once(room: Room) -> None:
    first, _ = say(room, "secret", "b")
    changes.delete(first)
    found = history.since(room.pk, 2, 10)
    assert [(state.id, state.deleted) for state in found.states] == [(first, True)]
    assert found.through == 3


def test_deleting_again_changes_nothing(room: Room) -> None:
    [message] = say(room, "a")
    first = changes.delete(message)
    again = changes.delete(message)
    assert (again.state, again.is_new) == (first.state, False)
    assert Head.objects.get(room=room).last_seq == 2


def test_what_is_not_there_cannot_be_deleted(room: Room) -> None:
    with pytest.raises(Message.DoesNotExist):
        changes.delete(1)


def test_its_nonce_is_still_that_of_one_message(room: Room) -> None:
    """A sender who repeats it gets the first one's place, and the text does not come back."""
    [message] = say(room, "a")
    changes.delete(message)
    assert say(room, "a") == [message]
    assert Message.objects.get().content == ""


def test_deletes_and_messages_at_once_leave_no_hole(room: Room) -> None:
    """Each takes a position of its own."""
    ids = say(room, *"abcdefgh")
    jobs = [lambda pk=pk: changes.delete(pk) for pk in ids]
    together([*jobs, *[lambda name=name: say(room, name) for name in "ijkl"]])
    positions = sorted(Message.objects.values_list("changed_seq", flat=True))
    assert positions == list(range(9, 21))
    assert Head.objects.get(room=room).last_seq == 20
