"""The notes that wait to be published on the channel layer, bounded by number and by bytes."""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import astuple

from ...spans import Origin
from .notes import LogEvent, Note

__all__ = ["QUEUE_BYTES", "NoteQueue", "QueuedNote", "Sent", "size_of"]

Sent = Callable[[bool], None]
"""A callback that gets whether the layer has accepted a note."""

QUEUE_NOTES = 1000
QUEUE_BYTES = 8 * 1024 * 1024
NOTE_BYTES = 36
"""The size of a note without its strings."""
MESSAGE_BYTES = 256 * 1024
"""The largest batch of notes, unless one note alone is larger."""
STALE_SECONDS = 5.0
"""After an outage, notes older than this are dropped; events of a log are kept."""


class QueuedNote(NamedTuple):
    """A note, and the callback that reports whether the layer accepted it."""

    topic: str
    note: Note
    size: int
    at: float
    sent: Sent
    origin: Origin | None = None
    """The span that the note comes from, if there is one."""


class NoteQueue:
    """A queue that drops its oldest notes when it is full: the database has all stored changes."""

    def __init__(self) -> None:
        self._notes: deque[QueuedNote] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._notes)

    def append(self, topic: str, note: Note, sent: Sent, origin: Origin | None = None) -> None:
        """Add a note; call `sent(False)` for each note that is dropped."""
        size = size_of(note)
        self._notes.append(QueuedNote(topic, note, size, time.monotonic(), sent, origin))
        self._bytes += size
        while len(self._notes) > QUEUE_NOTES or self._bytes > QUEUE_BYTES:
            dropped = self._notes.popleft()
            self._bytes -= dropped.size
            dropped.sent(False)

    def next_batch(self) -> tuple[str, list[QueuedNote]]:
        """Remove and return the first notes that have the same topic and fit one message."""
        topic = self._notes[0].topic
        batch: list[QueuedNote] = []
        size = 0
        while self._notes and self._notes[0].topic == topic:
            if batch and size + self._notes[0].size > MESSAGE_BYTES:
                break
            batch.append(self._notes.popleft())
            size += batch[-1].size
        self._bytes -= size
        return topic, batch

    def put_back(self, batch: list[QueuedNote]) -> None:
        """Queue a failed batch again, without stale notes: typing is of no use a minute later."""
        oldest = time.monotonic() - STALE_SECONDS
        kept = [entry for entry in batch if isinstance(entry.note, LogEvent) or entry.at > oldest]
        self._notes.extendleft(reversed(kept))
        self._bytes += sum(entry.size for entry in kept)


def size_of(note: Note) -> int:
    """Return about how many bytes a note takes."""
    return sum(len(part) for part in astuple(note) if isinstance(part, str)) + NOTE_BYTES
