"""Slow mode: who has spoken waits, whoever stores it."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from realtime.models import Log, Message, Room, Voice
from realtime.store.accounts.identity import Identity
from realtime.store.accounts.visitor import Visitor
from realtime.store.messages import slow_mode
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox.room_batch import write_all
from realtime.wire.errors import CommandError, ErrorCode
from tests.store.conftest import together


def draft(room: Room, content: str, *, sender: str = "1", slow_seconds: int = 10) -> Draft:
    return Draft(
        room_id=room.pk,
        content=content,
        sender=sender,
        username="ada",
        nonce=content,
        slow_seconds=slow_seconds,
    )


def stored(results: list[Stored | CommandError]) -> list[bool]:
    return [isinstance(one, Stored) for one in results]


def test_the_second_message_has_to_wait(room: Room) -> None:
    """And is told for how long."""
    assert stored(write_all([draft(room, "a")])) == [True]
    [refusal] = write_all([draft(room, "b")])
    assert isinstance(refusal, CommandError)
    assert refusal.code == ErrorCode.RATE_LIMITED
    assert refusal.retry_after == pytest.approx(10, abs=2)
    assert list(Message.objects.values_list("content", flat=True)) == ["a"]


def test_a_signal_of_a_user_with_a_long_key_is_counted(room: Room) -> None:
    """As long as the tables hold: its voice would not fit into its column."""
    visitor = Visitor(Identity("k" * 150, "ada"))
    slow_mode.signal(room.pk, visitor, 10)
    with pytest.raises(CommandError, match="slow mode"):
        slow_mode.signal(room.pk, visitor, 10)


def test_after_the_pause_one_may_speak_again(room: Room) -> None:
    write_all([draft(room, "a")])
    Message.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    assert stored(write_all([draft(room, "b")])) == [True]


def test_a_clock_that_is_ahead_makes_nobody_wait_longer_than_the_room_asks(room: Room) -> None:
    write_all([draft(room, "a")])
    Message.objects.update(created_at=timezone.now() + timedelta(seconds=61))
    [refusal] = write_all([draft(room, "b")])
    assert isinstance(refusal, CommandError)
    assert refusal.retry_after == pytest.approx(10)


def test_only_the_first_of_one_batch_is_stored(room: Room) -> None:
    """In its order, between those of others, and of rooms that are not slow."""
    other = Room.objects.create(slug="other")
    drafts = [
        draft(room, "a"),
        draft(room, "b"),
        draft(room, "c", sender="2"),
        draft(other, "d", slow_seconds=0),
        draft(other, "e", slow_seconds=0),
    ]
    results = write_all(drafts)
    assert stored(results) == [True, False, True, True, True]
    assert [one.state.content for one in results if isinstance(one, Stored)] == [*"acde"]
    assert Log.objects.get(room=room).last_seq == 2


def test_a_repeat_gets_the_first_ones_result(room: Room) -> None:
    """It has nothing to wait for: it is stored already."""
    [first] = write_all([draft(room, "a")])
    [again] = write_all([draft(room, "a")])
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert (again.state, again.is_new) == (first.state, False)


def test_a_repeat_in_the_same_batch_is_no_second_message(room: Room) -> None:
    results = write_all([draft(room, "a"), draft(room, "a")])
    assert stored(results) == [True, True]
    assert Message.objects.count() == 1


def test_many_at_the_same_moment_are_one(room: Room) -> None:
    """Sockets on many servers do not help: it is judged under the lock of the room."""
    jobs = [lambda name=name: write_all([draft(room, name)]) for name in "abcdefgh"]
    results = [one for found in together(jobs) for one in found]  # type: ignore[attr-defined]
    assert sum(stored(results)) == 1
    assert Message.objects.count() == 1


def by_guest(room: Room, number: int, address: str = "203.0.113.5") -> Draft:
    return Draft.by(
        Identity(f"guest:{number}", "Guest"),
        room.pk,
        f"said {number}",
        nonce=f"n{number}",
        slow_seconds=10,
        address=address,
    )


def test_a_guest_with_another_token_waits_as_well(room: Room) -> None:
    """In the same batch and in another one; who comes from elsewhere does not."""
    results = write_all([by_guest(room, 1), by_guest(room, 2), by_guest(room, 3, "198.51.100.1")])
    assert stored(results) == [True, False, True]
    assert stored(write_all([by_guest(room, 4), by_guest(room, 5, "")])) == [False, True]
    Voice.objects.update(spoke_at=timezone.now() - timedelta(seconds=11))
    assert stored(write_all([by_guest(room, 6)])) == [True]


def test_a_refused_guest_is_not_noted(room: Room) -> None:
    """Else asking again and again would keep all others waiting."""
    write_all([by_guest(room, 1)])
    before = list(Voice.objects.values())
    write_all([by_guest(room, 2)])
    assert list(Voice.objects.values()) == before


def test_the_address_of_a_user_is_not_noted(room: Room) -> None:
    """Users have a name to be known by."""
    who = Identity("7", "ada", SimpleNamespace(pk=7))
    assert Draft.by(who, room.pk, "a", slow_seconds=10, address="203.0.113.5").address == ""


def test_a_signal_waits_like_a_message(room: Room) -> None:
    """For the last message and the last signal, of a guest also those of its address."""
    ada, bob = (
        Visitor(Identity("1", "ada", SimpleNamespace(pk=7))),
        Visitor(Identity("2", "bob", SimpleNamespace(pk=8))),
    )
    write_all([draft(room, "a")])
    with pytest.raises(CommandError) as refused:
        slow_mode.signal(room.pk, ada, 10)
    assert refused.value.code == ErrorCode.RATE_LIMITED
    slow_mode.signal(room.pk, bob, 10)
    with pytest.raises(CommandError):
        slow_mode.signal(room.pk, bob, 10)
    assert stored(write_all([draft(room, "b", sender="2")])) == [True]
    slow_mode.signal(room.pk, Visitor(Identity("guest:1", "x"), "203.0.113.5"), 10)
    with pytest.raises(CommandError):
        slow_mode.signal(room.pk, Visitor(Identity("guest:2", "y"), "203.0.113.5"), 10)


def test_voices_are_forgotten(room: Room) -> None:
    """After the longest slow mode that there is."""
    write_all([by_guest(room, 1)])
    slow_mode.delete_old_voices()
    assert Voice.objects.count() == 1
    Voice.objects.update(spoke_at=timezone.now() - timedelta(days=2))
    slow_mode.delete_old_voices()
    assert not Voice.objects.exists()
