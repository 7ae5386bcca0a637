"""The span of a layer message: only while it is recorded, and nothing to earlier versions."""

from collections.abc import Iterator
from typing import Any

import pytest

from realtime.engine.bus.layer import Layer, envelope
from realtime.engine.bus.note_queue import NoteQueue, QueuedNote
from realtime.engine.bus.notes import LogEvent
from realtime.engine.bus.origins import begin_fan_out, carry, origins_of
from realtime.spans import Origin, spans
from tests.traces import Recorded, attributes, recorded

SITE = "0123456789abcdef"


@pytest.fixture
def record() -> Iterator[Recorded]:
    with recorded() as found:
        yield found


def batch_of(*origins: Origin | None) -> list[QueuedNote]:
    queue = NoteQueue()
    for number, origin in enumerate(origins):
        queue.append("room.1", LogEvent(number, None, "e", "{}"), lambda is_sent: None, origin)
    return queue.next_batch()[1]


def message_of(batch: list[QueuedNote]) -> dict[str, Any]:
    message = envelope(SITE, "room.1", "one", [entry.note for entry in batch])
    with begin_fan_out(batch) as span:
        carry(message, batch, span)
    return message


def test_a_message_without_a_span_is_as_before(record: Recorded) -> None:
    batch = batch_of(None, None)
    assert message_of(batch) == envelope(SITE, "room.1", "one", [entry.note for entry in batch])
    assert record.all == []


def test_the_notes_of_a_span_are_known_by_their_numbers(record: Recorded) -> None:
    with spans.publish("general") as span:
        origin = span.origin
    found = origins_of(message_of(batch_of(None, origin, None, origin)))
    sent = record.one("fan_out")
    assert attributes(sent)["messaging.batch.message_count"] == 4
    assert {number: one.span_id for number, one in found.items()} == dict.fromkeys(
        (1, 3), sent.get_span_context().span_id
    )


@pytest.mark.parametrize(
    "numbers", [None, 7, "ab", {"0": 1}, ["a", None, [0]], [10**30, -1, 99]], ids=repr
)
def test_broken_numbers_are_no_notes(record: Recorded, numbers: Any) -> None:
    received: list[Any] = []
    layer = Layer("two", lambda *what: received.append(what), find_site)
    layer._site = SITE
    batch = batch_of(None)
    traceparent = f"00-{'1' * 32}-{'1' * 16}-01"
    layer._unpack(message_of(batch) | {"traceparent": traceparent, "traced": numbers})
    assert received[0][:2] == ("room.1", [["log", 0, None, "e", "{}"]])
    assert 0 not in (received[0][2] if len(received[0]) > 2 else {})


async def find_site() -> str:
    return SITE
