"""The life of a log: another server, timeline or database begins a new epoch."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from realtime.models import Log, Room
from realtime.store.database import life
from realtime.store.messages import history
from realtime.store.messages.drafts import Stored
from realtime.store.messages.logs import lock_logs
from realtime.store.moderation import erasing
from realtime.store.outbox import room_numbering
from tests.store.says import delete, draft

OTHER = "7000000000000000000:00000001:5"


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    """No test before this one has asked whether the life can be read."""
    life._readable.clear()
    life._ends.clear()
    yield
    life._readable.clear()


@pytest.fixture
def now(is_postgres: bool) -> str:
    """The life of the database of this test."""
    if not is_postgres:
        return ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_walfile_name(pg_current_wal_lsn()), oid, system_identifier"
            " FROM pg_database, pg_control_system() WHERE datname = current_database()"
        )
        file, oid, system = cursor.fetchone()
    return f"{system}:{file[:8]}:{oid}"


def say(room: Room, content: str) -> Stored:
    [stored] = room_numbering.append([draft(room, content)])
    return stored


def row(room: Room) -> tuple[str, str, int]:
    found = Log.objects.get(room=room)
    return found.epoch, found.life, found.last_seq


def give(room: Room, life: str) -> str:
    """Give the log of a room a life; return its epoch."""
    Log.objects.filter(room=room).update(life=life)
    return Log.objects.get(room=room).epoch


def test_a_log_has_the_life_of_its_database_from_the_beginning(room: Room, now: str) -> None:
    """Otherwise a standby that lacks the first message would number another one alike."""
    history.mark(room.pk)
    assert row(room)[1:] == (now, 0)


def test_an_append_in_the_same_life_keeps_the_epoch(room: Room, now: str) -> None:
    epoch = say(room, "a").epoch
    assert say(room, "b").epoch == epoch
    assert row(room) == (epoch, now, 2)


def _append(room: Room) -> Any:
    return say(room, "b")


def _delete(room: Room) -> Any:
    return delete(room.messages.get(seq=1).pk)


def _erase(room: Room) -> Any:
    return list(erasing.erase_texts(room.messages.get(seq=1).sender, "nobody"))


def _change_rights(room: Room) -> Any:
    history.change_rights([room.pk])


def _lock(room: Room) -> Any:
    with transaction.atomic():
        lock_logs("default", {room.pk})


WRITERS = [_append, _delete, _erase, _change_rights, _lock]


@pytest.mark.parametrize("write", WRITERS)
def test_whoever_writes_in_another_life_begins_a_new_epoch(
    room: Room, now: str, write: Callable[[Room], Any], is_postgres: bool
) -> None:
    """Once, before it takes a position."""
    say(room, "a")
    before = give(room, OTHER)
    write(room)
    epoch, stored, last = row(room)
    assert (epoch != before) is is_postgres
    assert stored == (now or OTHER)
    say(room, "c")
    assert row(room) == (epoch, stored, last + 1)


def test_the_result_of_an_append_has_the_new_epoch(room: Room, is_postgres: bool) -> None:
    """It is broadcast with it: other processes tell their clients at once."""
    say(room, "a")
    before = give(room, OTHER)
    stored = say(room, "b")
    assert (stored.epoch != before) is is_postgres
    assert stored.epoch == row(room)[0]
    assert stored.state.seq == 2


@pytest.mark.parametrize("write", WRITERS)
def test_a_log_without_a_life_keeps_its_epoch(
    room: Room, now: str, write: Callable[[Room], Any]
) -> None:
    """A process of the last release has created it."""
    say(room, "a")
    before = give(room, "")
    write(room)
    assert row(room)[:2] == (before, now)


def test_other_logs_of_a_batch_keep_their_epochs(four_rooms: list[Room], is_postgres: bool) -> None:
    epochs = [say(room, "a").epoch for room in four_rooms]
    give(four_rooms[2], OTHER)
    with transaction.atomic():
        logs = lock_logs("default", {room.pk for room in four_rooms})
    after = [logs[room.pk].epoch for room in four_rooms]
    assert [one for one in range(4) if after[one] != epochs[one]] == ([2] if is_postgres else [])


def test_a_transaction_that_is_rolled_back_leaves_the_life(room: Room) -> None:
    """The next writer begins the new epoch."""
    say(room, "a")
    before = give(room, OTHER)
    with transaction.atomic():
        say(room, "b")
        transaction.set_rollback(True)
    assert row(room) == (before, OTHER, 1)


def test_a_life_that_cannot_be_read_is_not_replaced(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles of one site may differ in what they may read: they must not take turns."""
    epoch = say(room, "a").epoch
    _, known, _ = row(room)
    monkeypatch.setattr(life, "LIFE", "(SELECT realtime_no_such_function())")
    life._readable.clear()
    assert say(room, "b").epoch == epoch
    history.change_rights([room.pk])
    assert row(room) == (epoch, known, 2)
    monkeypatch.undo()
    life._readable.clear()
    assert say(room, "c").epoch == epoch


def test_a_room_is_made_where_the_life_cannot_be_read(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "LIFE", "(SELECT realtime_no_such_function())")
    with transaction.atomic():  # which the failed query must not end
        say(room, "a")
    assert row(room)[1:] == ("", 1)


def test_a_renewed_epoch_has_the_current_life(room: Room, now: str) -> None:
    """The next writer does not begin another one."""
    say(room, "a")
    history.renew_epoch(room.pk, give(room, OTHER))
    epoch, stored, _ = row(room)
    assert stored == now
    assert say(room, "b").epoch == epoch


# Where the life cannot be read.


@pytest.fixture
def is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "LIFE", "(SELECT realtime_no_such_function())")


def restore(room: Room, last_seq: int) -> None:
    """Go back to an earlier state, as from a backup: the epoch is the same."""
    room.messages.filter(changed_seq__gt=last_seq).delete()
    Log.objects.filter(room=room).update(last_seq=last_seq)


@pytest.mark.usefixtures("is_unknown")
@pytest.mark.parametrize("write", WRITERS)
def test_a_log_that_ends_before_a_seen_position_begins_a_new_epoch(
    room: Room, write: Callable[[Room], Any]
) -> None:
    """In the transaction that writes, so that no position is given twice in an epoch."""
    [before, *_] = [say(room, content).epoch for content in "abc"]
    restore(room, 1)
    write(room)
    epoch, _, last = row(room)
    assert epoch != before
    say(room, "d")
    assert row(room) == (epoch, "", last + 1)


@pytest.mark.usefixtures("is_unknown")
def test_a_position_that_was_rolled_back_was_not_seen(room: Room) -> None:
    """Also of a log that was locked twice."""
    epoch = say(room, "a").epoch
    with transaction.atomic():
        say(room, "b")
        say(room, "c")
        transaction.set_rollback(True)
    assert [say(room, content).epoch for content in "de"] == [epoch, epoch]


@pytest.mark.usefixtures("is_unknown")
def test_the_seen_ends_are_bounded(four_rooms: list[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "MOST_ENDS", 3)
    for room in four_rooms:
        say(room, "a")
    assert len(life._ends) == 1
