"""A batch of the writer: messages, entries and numbering in one commit."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from realtime import push
from realtime.models import Message, Pending, Room
from realtime.store.messages.log import Stored
from realtime.store.topics.batch import Numbering, write_all
from realtime.store.topics.drafts import StoredEntry
from realtime.store.topics.entries import topic_key
from realtime.wire.errors import CommandError
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
