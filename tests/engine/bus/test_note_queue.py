"""The queue of notes that wait for the channel layer: bounded, in order, in batches by topic."""

import pytest

from realtime.engine.bus import note_queue as module
from realtime.engine.bus.note_queue import NoteQueue
from realtime.engine.bus.notes import Broadcast, LogEvent


def filled(*texts: str, topic: str = "room.1") -> NoteQueue:
    made = NoteQueue()
    for text in texts:
        made.append(topic, Broadcast(text, ""), lambda _: None)
    return made


def texts_of(queue: NoteQueue) -> list[str]:
    """Empty the queue, and return the texts of its notes."""
    texts: list[str] = []
    while queue:
        texts += [entry.note.text for entry in queue.next_batch()[1]]  # type: ignore[union-attr]
    return texts


def test_a_batch_has_one_topic_and_keeps_the_order() -> None:
    """A layer message carries notes of one topic."""
    queue = filled("a", "b")
    queue.append("room.2", Broadcast("c", ""), lambda _: None)
    queue.append("room.1", Broadcast("d", ""), lambda _: None)
    topics = []
    while queue:
        topic, batch = queue.next_batch()
        topics.append((topic, len(batch)))
    assert topics == [("room.1", 2), ("room.2", 1), ("room.1", 1)]


def test_a_batch_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note that alone is larger is a batch of its own."""
    monkeypatch.setattr(module, "MESSAGE_BYTES", 500)
    queue = filled("a" * 200, "b" * 200, "c" * 900)
    assert [len(queue.next_batch()[1]) for _ in range(2)] == [2, 1]
    assert not queue


def test_the_oldest_notes_are_dropped_beyond_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each dropped note is reported as not sent."""
    monkeypatch.setattr(module, "QUEUE_NOTES", 2)
    queue, dropped = NoteQueue(), []
    for text in "abcd":
        queue.append("room.1", Broadcast(text, ""), lambda _, text=text: dropped.append(text))
    assert dropped == ["a", "b"]
    assert texts_of(queue) == ["c", "d"]


def test_the_oldest_notes_are_dropped_beyond_a_number_of_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few large notes count as much as many small ones."""
    monkeypatch.setattr(module, "QUEUE_BYTES", 1000)
    queue = filled(*(str(number) * 400 for number in range(10)))
    assert [text[0] for text in texts_of(queue)] == ["8", "9"]


def test_a_failed_batch_comes_first_again() -> None:
    """The order of a topic is kept, and so is the count of bytes."""
    queue = filled("a", "b")
    _, batch = queue.next_batch()
    queue.append("room.1", Broadcast("c", ""), lambda _: None)
    queue.put_back(batch)
    assert queue._bytes == sum(entry.size for entry in queue._notes)
    assert texts_of(queue) == ["a", "b", "c"]
    assert queue._bytes == 0


def test_stale_notes_are_dropped_but_events_of_a_log_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client has no use for an old `typing`, but needs every message."""
    monkeypatch.setattr(module, "STALE_SECONDS", 0)
    queue = filled("typing")
    queue.append("room.1", LogEvent(1, None, "", "message"), lambda _: None)
    queue.put_back(queue.next_batch()[1])
    assert texts_of(queue) == ["message"]
