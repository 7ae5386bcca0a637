"""New messages and changes in one transaction, in one order."""

from functools import partial

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from realtime.models import Log, Message, Room
from realtime.store.messages.drafts import Stored
from realtime.store.outbox import room_numbering
from realtime.store.outbox.room_batch import Change, RoomSubmission, write_all
from realtime.wire.errors import CommandError, ErrorCode
from tests.store.conftest import together
from tests.store.says import delete, draft, say


def deletion(room: Room, message: Message) -> Change:
    return Change(room.pk, partial(delete, message.pk))


def refused(room: Room) -> Change:
    """A change that writes something, and is refused then."""

    def apply() -> Stored:
        Message.objects.filter(room=room).update(username="nobody")
        raise CommandError(ErrorCode.PERMISSION_DENIED, "no")

    return Change(room.pk, apply)


def positions(results: list[Stored | CommandError]) -> list[int]:
    return [one.state.position for one in results if isinstance(one, Stored)]


def test_messages_and_changes_take_positions_in_their_order(room: Room) -> None:
    old = say(room, "a", "b")
    batch: list[RoomSubmission] = [draft(room, "c"), deletion(room, old[0]), draft(room, "d")]
    results = write_all([*batch, deletion(room, old[1])])
    assert positions(results) == [3, 4, 5, 6]
    assert [one.state.deleted for one in results if isinstance(one, Stored)] == [False, True] * 2
    assert Log.objects.get(room=room).last_seq == 6


def test_each_room_is_counted_by_itself(room: Room, other_room: Room) -> None:
    [mine], [other] = say(room, "a"), say(other_room, "b")
    batch = [draft(room), deletion(other_room, other), draft(other_room), deletion(room, mine)]
    assert positions(write_all(batch)) == [2, 2, 3, 3]


def test_a_refused_change_is_undone_and_stops_nothing(room: Room) -> None:
    say(room, "a")
    first, refusal, last = write_all([draft(room, "b"), refused(room), draft(room, "c")])
    assert isinstance(refusal, CommandError)
    assert refusal.code == ErrorCode.PERMISSION_DENIED
    assert positions([first, last]) == [2, 3]
    assert set(Message.objects.values_list("username", flat=True)) == {"ada"}


def test_a_change_that_fails_stores_nothing(room: Room) -> None:
    def fail() -> Stored:
        raise DatabaseError("odd")

    with pytest.raises(DatabaseError):
        write_all([draft(room), Change(room.pk, fail)])
    assert not Message.objects.exists()


def test_a_message_of_the_same_batch_can_be_changed(room: Room) -> None:
    def delete_last() -> Stored:
        return delete(Message.objects.latest("pk").pk)

    results = write_all([draft(room, "secret"), Change(room.pk, delete_last)])
    assert positions(results) == [1, 2]
    assert Message.objects.get().content == ""


def test_a_repeated_deletion_gets_the_first_result(room: Room) -> None:
    [message] = say(room, "a")
    first, again = write_all([deletion(room, message)] * 2)
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert (first.is_new, again.is_new, first.state) == (True, False, again.state)


def test_messages_alone_cost_no_query_more(room: Room) -> None:
    say(room, "a")
    drafts = [draft(room, "b"), draft(room, "c")]
    with CaptureQueriesContext(connection) as before:
        room_numbering.append(drafts)
    with CaptureQueriesContext(connection) as queries:
        write_all([draft(room, "d"), draft(room, "e")])
    assert len(queries) == len(before)


def test_batches_in_opposite_order_do_not_deadlock(room: Room, other_room: Room) -> None:
    """All heads are locked first, in one order."""
    ids = {one: say(one, *"abcd") for one in (room, other_room)}

    def write(order: list[Room], numbers: range) -> None:
        for number in numbers:
            write_all([deletion(one, ids[one][number]) for one in order] + [draft(order[0])])

    together(
        [
            partial(write, [room, other_room], range(2)),
            partial(write, [other_room, room], range(2, 4)),
        ]
    )
    for one in (room, other_room):
        changed = sorted(Message.objects.filter(room=one).values_list("changed_seq", flat=True))
        assert changed == list(range(5, 11))
