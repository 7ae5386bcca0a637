"""Removing old messages from the beginning of a room."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.models import Log, Message, Report, Room
from realtime.store.messages import history, retention
from realtime.store.moderation import actions
from tests.store.says import say


def aged(**days: int) -> None:
    """Date messages back, by their text."""
    for content, age in days.items():
        Message.objects.filter(content=content).update(
            created_at=timezone.now() - timedelta(days=age)
        )


def purge(room: Room, days: int) -> int:
    return sum(retention.purge(room.pk, timezone.now() - timedelta(days=days)))


def left() -> list[str]:
    return list(Message.objects.order_by("seq").values_list("content", flat=True))


def test_the_oldest_messages_are_removed(room: Room) -> None:
    """A client that has an earlier position begins anew."""
    say(room, *"abc")
    aged(a=20, b=10)
    assert retention.number_of_old(room.pk, timezone.now() - timedelta(days=15)) == 1
    assert purge(room, 15) == 1
    assert left() == ["b", "c"]
    assert Log.objects.get(room=room).purged_seq == 1
    assert history.mark(room.pk).last_seq == 3
    assert purge(room, 15) == 0


def test_removal_ends_at_the_first_young_message(room: Room) -> None:
    """Messages that were imported behind it wait for it."""
    say(room, *"abc")
    aged(a=20, c=20)
    assert retention.number_of_old(room.pk, timezone.now() - timedelta(days=15)) == 1
    assert purge(room, 15) == 1
    assert left() == ["b", "c"]


def test_a_removed_message_that_was_changed_lately_moves_the_mark(room: Room) -> None:
    first, _ = say(room, "a", "b")
    actions.delete(first.pk)
    Message.objects.filter(seq=1).update(created_at=timezone.now() - timedelta(days=20))
    assert purge(room, 15) == 1
    assert Log.objects.get(room=room).purged_seq == 3


def test_all_messages_may_go_and_numbers_continue(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks, each with its own transaction; reports go with their messages."""
    monkeypatch.setattr(retention, "CHUNK", 2)
    first, *_ = say(room, *"abcde")
    Report.objects.create(message=first, reporter="guest:1", username="G")
    aged(**dict.fromkeys("abcde", 20))
    chunks = list(retention.purge(room.pk, timezone.now() - timedelta(days=15)))
    assert chunks == [2, 2, 1]
    assert not Report.objects.exists()
    assert say(room, "f")[0].seq == 6


def test_a_hold_that_comes_meanwhile_ends_the_removal(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    say(room, *"abcde")
    aged(**dict.fromkeys("abcde", 20))
    work = retention.purge(room.pk, timezone.now() - timedelta(days=15))
    assert next(work) == 2
    Room.objects.update(is_held=True)
    assert sum(work) == 0
    assert left() == ["c", "d", "e"]


def test_rooms_have_their_own_age_or_that_of_the_site() -> None:
    for slug, keep, held in (
        ("default", None, False),
        ("short", 7, False),
        ("long", 90, False),
        ("endless", 2**31 - 1, False),
        ("held", 7, True),
        ("empty", 7, False),
    ):
        one = Room.objects.create(slug=slug, keep_days=keep, is_held=held)
        if slug != "empty":
            say(one, slug)
    aged(default=40, short=40, long=40, endless=40, held=40)
    assert [one.slug for one in retention.old_rooms(30)] == ["default", "short"]
    assert [one.slug for one in retention.old_rooms(0)] == ["short"]


def test_a_message_that_may_be_sent_again_stays(room: Room) -> None:
    """Its nonce is needed for a week, whatever the settings say."""
    young = Room.objects.create(slug="young", keep_days=1)
    for one in (room, young):
        say(one, one.slug)
    aged(general=6, young=6)
    assert list(retention.old_rooms(1)) == []
    aged(general=8, young=8)
    assert [one.slug for one in retention.old_rooms(1)] == ["general", "young"]


def test_more_rooms_cost_no_more_queries(room: Room) -> None:
    numbers = []
    for more in (2, 20):
        for number in range(more):
            say(Room.objects.create(slug=f"r{more}-{number}"), "a")
        with CaptureQueriesContext(connection) as queries:
            list(retention.old_rooms(30))
        numbers.append(len(queries))
    assert numbers == [1, 1]
