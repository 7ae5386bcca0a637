"""The log of a room as the engine reads it: the same answers as those of `history`."""

import pytest

from realtime.models import Room
from realtime.store.messages import history
from realtime.store.messages.room_log import RoomLog
from tests.engine import log

pytestmark = pytest.mark.django_db


@pytest.fixture
def room() -> Room:
    made = Room.objects.create(slug="general")
    log.append(made.pk, *"abc")
    return made


def test_each_read_is_that_of_the_room(room: Room) -> None:
    """The object holds the key of the room and nothing else."""
    reader = RoomLog(room.pk)
    assert reader.since(1, 10) == history.since(room.pk, 1, 10)
    assert reader.newest(2) == history.newest(room.pk, 2)
    assert reader.older(2, 10) == history.older(room.pk, 2, 10)
    assert reader.recent(2) == history.recent(room.pk, 2)
    assert reader.mark() == history.mark(room.pk)


def test_marks_are_found_by_log_key(room: Room) -> None:
    """A room that does not exist is left out."""
    known = {f"room.{room.pk}": history.mark(room.pk)}
    assert RoomLog.marks([RoomLog(room.pk), RoomLog(999_999)]) == known


def test_an_epoch_is_renewed_once(room: Room) -> None:
    """The second process that notices a restore finds the new epoch."""
    reader = RoomLog(room.pk)
    before = reader.mark().epoch
    reader.renew_epoch(before)
    after = reader.mark().epoch
    reader.renew_epoch(before)
    assert (after == before, reader.mark().epoch) == (False, after)
