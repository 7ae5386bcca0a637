"""A batch of the writer: messages, entries and numbering in one commit."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from realtime import push
from realtime.models import Log, Message, Pending, Room
from realtime.store.messages.drafts import Stored
from realtime.store.outbox import pending_messages, room_numbering
from realtime.store.outbox.batch import Numbering, write_all
from realtime.store.topics.drafts import StoredEntry
from realtime.store.topics.entries import topic_key
from realtime.wire.errors import CommandError
from tests.store.conftest import together
from tests.store.says import draft

from .publishing import TOPIC, event, living, publish, stored, telling, value
from .test_pending import sequencer

__all__ = ["sequencer"]


def test_results_come_in_the_order_of_the_entries(room: Room) -> None:
    found = write_all(
        [event("a"), draft(room, "m"), Numbering(topic=TOPIC), value("x", 1, if_seq=9), event("b")]
    )
    first, message, numbered, refused, last = found
    assert isinstance(message, Stored)
    assert isinstance(first, StoredEntry)
    assert isinstance(last, StoredEntry)
    assert isinstance(refused, CommandError)
    assert numbered is None
    assert (first.state and first.state.seq, last.state and last.state.seq) == (1, 2)
    assert message.state.content == "m"


def test_each_entry_names_its_log(room: Room) -> None:
    assert event().log_key == Numbering(topic=TOPIC).log_key == topic_key(TOPIC)
    assert Numbering(room_id=room.pk).log_key == f"room.{room.pk}"


def test_a_batch_is_one_commit(room: Room, is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite is counted otherwise")
    write_all([draft(room), event()])
    with CaptureQueriesContext(connection) as queries:
        write_all([draft(room), event(), event(topic="order/8"), draft(room)], lock_timeout_ms=500)
    assert [one["sql"] for one in queries].count("COMMIT") == 1


def test_a_bad_message_stores_no_entry(room: Room) -> None:
    with pytest.raises(IntegrityError):
        write_all([event("a"), draft(room, room_id=room.pk + 1000)])
    assert stored() == []
    assert not Message.objects.exists()


def test_requests_number_what_is_pending(
    room: Room, is_postgres: bool, sequencer: list[Any]
) -> None:
    if not is_postgres:
        pytest.skip("SQLite has no pending rows")
    with transaction.atomic():
        publish(event("a"), value("x", 1), event("c", "order/8"))
        push.room(room).message("m")
    with telling() as told:
        write_all([Numbering(topic=TOPIC), Numbering(room_id=room.pk)])
        assert told == [(1, "a"), (2, 1)]
        assert living() == {"x": 1}
        write_all([event("b"), Numbering(topic="order/8"), Numbering(topic="nothing")])
    assert told == [(1, "a"), (2, 1), (1, "c")]
    assert Message.objects.get().content == "m"
    assert not Pending.objects.exists()


def test_only_messages_are_written_as_before(
    room: Room, django_assert_max_num_queries: Any
) -> None:
    write_all([draft(room)])
    with django_assert_max_num_queries(8):
        [one] = write_all([draft(room, "b")])
    assert isinstance(one, Stored)


def locks_in_order(rooms: list[Room], write: Callable[[], object]) -> None:
    """Check that a write that waits for the first room has not locked the second one."""
    first, second = rooms
    with transaction.atomic():
        Log.objects.select_for_update().get(room=first)
        thread = Thread(target=together, args=[[write]])
        thread.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not is_waiting():
            pass
        Log.objects.select_for_update(nowait=True).get(room=second)
    thread.join()


def is_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.fixture
def rooms(room: Room, other_room: Room) -> list[Room]:
    """Rooms whose logs were made in the other order."""
    room_numbering.append([draft(other_room)])
    room_numbering.append([draft(room)])
    return [room, other_room]


def test_rooms_are_locked_in_their_order(rooms: list[Room], is_postgres: bool) -> None:
    """As by processes of the last release."""
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    locks_in_order(rooms, lambda: write_all([draft(one) for one in reversed(rooms)]))


def test_drafts_and_numbering_lock_rooms_together(rooms: list[Room], is_postgres: bool) -> None:
    if not is_postgres:
        pytest.skip("SQLite has one writer")
    first, second = rooms
    pending_messages.insert("default", draft(first))
    locks_in_order(rooms, lambda: write_all([draft(second), Numbering(room_id=first.pk)]))
    assert not Pending.objects.exists()


def test_a_request_for_a_room_that_is_gone_stops_no_draft(room: Room) -> None:
    [stored, numbered] = write_all([draft(room), Numbering(room_id=room.pk + 1000)])
    assert isinstance(stored, Stored)
    assert numbered is None
