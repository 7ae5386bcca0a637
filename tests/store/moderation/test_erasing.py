"""Taking texts and names out of old messages, on both databases."""

import pytest

from realtime.models import Log, Message, Room
from realtime.store.moderation import erasing
from realtime.store.outbox import room_numbering
from tests.store.conftest import together
from tests.store.says import draft, say


def erase() -> list[int]:
    return list(erasing.erase_texts("7", "Gone"))


@pytest.mark.parametrize("told", [3, 1000])
def test_only_the_senders_messages_are_emptied(
    room: Room, other_room: Room, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """In every room, in chunks; with many in one room no positions are taken, but another epoch."""
    monkeypatch.setattr(erasing, "CHUNK", 2)
    monkeypatch.setattr(erasing, "MOST_EVENTS", told)
    say(room, *"abcde")
    say(other_room, "f")
    room_numbering.append([draft(room, "kept", sender="8")])
    before = Log.objects.get(room=room)
    assert erase() == [2, 2, 1, 1]
    assert erase() == []
    after = Log.objects.get(room=room)
    is_told = told > 5
    assert after.last_seq - before.last_seq == (5 if is_told else 0)
    assert (after.epoch == before.epoch) == is_told
    left = Message.objects.exclude(content="")
    assert [(one.content, one.username) for one in left] == [("kept", "ada")]
    assert set(Message.objects.filter(content="").values_list("username", flat=True)) == {"Gone"}


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_repeat_after_an_interruption_tells_of_all(
    room: Room, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """Of many by another epoch, also where the few that are left could be told one by one."""
    monkeypatch.setattr(erasing, "CHUNK", 2)
    monkeypatch.setattr(erasing, "MOST_EVENTS", 3)
    say(room, *"abcdef")
    before = Log.objects.get(room=room).epoch
    first = erasing.erase_texts("7", "Gone")
    for _ in range(done):
        next(first)
    first.close()
    assert sum(erase()) == 6 - 2 * done
    assert Log.objects.get(room=room).epoch != before


def test_erasing_while_others_write_leaves_no_hole(room: Room) -> None:
    say(room, *"abcdefgh")
    jobs = [
        lambda n=n: room_numbering.append([draft(room, f"new {n}", sender="8")]) for n in range(8)
    ]
    together([erase, *jobs, erase])
    positions = sorted(Message.objects.values_list("changed_seq", flat=True))
    last = Log.objects.get(room=room).last_seq
    assert (len(set(positions)), positions[-1]) == (16, last)
    assert last == 24
    assert Message.objects.filter(content="").count() == 8
