"""Write one batch of a process: messages and changes in rooms, entries of topics, and numbering."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...wire.errors import CommandError
from ..database.alias import database
from ..database.transactions import LOCK_MS, own_transaction
from ..messages.drafts import Stored
from ..messages.history import room_key
from ..topics.drafts import EntryDraft, StoredEntry
from ..topics.entries import topic_key
from . import room_batch, topic_numbering
from .room_numbering import number as number_rooms

__all__ = ["Numbering", "Result", "Submission", "number_log", "write_all"]


@dataclass(frozen=True, slots=True)
class Numbering:
    """A request to number what is pending in a topic, in a room, or in many topics.

    The signals `entries_stored` and `messages_stored` tell what was numbered.
    """

    topic: str = ""
    room_id: int = 0
    topics: frozenset[str] = frozenset()
    """Many topics, for which one request stands; not in a batch with drafts."""

    @property
    def log_key(self) -> str:
        """The log to number, or a name for many of them."""
        if self.topics:
            return f"{len(self.topics)} topics, {min(self.topics)} first"
        return topic_key(self.topic) if self.topic else room_key(self.room_id)


Submission = room_batch.RoomSubmission | EntryDraft | Numbering
"""What a batch of the writer writes."""
Result = Stored | StoredEntry | CommandError | None
"""None is the result of a `Numbering`."""


def write_all(
    submissions: Sequence[Submission], *, lock_timeout_ms: int | None = None, bounded: bool = False
) -> list[Result]:
    """Write submissions in their order within each log; return the result of each.

    They are one transaction, which locks the logs of rooms before those of topics, each in the
    order of their keys. Requests to number rooms, and those without drafts, are transactions of
    their own. Raises what the database raises, and with `bounded` a `BacklogError` if more is
    pending in a log than one transaction numbers, which `number_log` has to do first; then the
    drafts are not stored.
    """
    of_rooms = [one for one in submissions if not isinstance(one, EntryDraft | Numbering)]
    if len(of_rooms) == len(submissions):
        return list(
            room_batch.write_all(of_rooms, lock_timeout_ms=lock_timeout_ms, bounded=bounded)
        )
    others = [one for one in submissions if isinstance(one, EntryDraft | Numbering)]
    rooms = {one.room_id for one in others if isinstance(one, Numbering) and one.room_id}
    number_rooms(rooms, bounded=bounded)
    lock_ms = LOCK_MS if lock_timeout_ms is None else lock_timeout_ms
    if not of_rooms:
        return _write_topics(others, lock_ms, bounded)
    with own_transaction(database(), lock_ms):
        stored: Iterator[Result] = iter(room_batch.write_all(of_rooms, bounded=bounded))
        rest = iter(_write_topics(others, lock_ms, bounded))
    return [
        next(rest if isinstance(one, EntryDraft | Numbering) else stored) for one in submissions
    ]


def number_log(submission: Submission) -> None:
    """Number what is pending in the log of a submission, in transactions of their own."""
    if isinstance(submission, EntryDraft) or (
        isinstance(submission, Numbering) and submission.topic
    ):
        topic_numbering.number([submission.topic])
    else:
        number_rooms({submission.room_id})


def _write_topics(
    submissions: Sequence[EntryDraft | Numbering], lock_ms: int, bounded: bool
) -> list[Result]:
    numberings = [one for one in submissions if isinstance(one, Numbering)]
    topics = {one.topic for one in numberings if one.topic}.union(*(n.topics for n in numberings))
    drafts = [one for one in submissions if isinstance(one, EntryDraft)]
    if not drafts:
        topic_numbering.number(topics, lock_ms=lock_ms)
        return [None] * len(submissions)
    results = iter(topic_numbering.append(drafts, lock_ms=lock_ms, also=topics, bounded=bounded))
    return [next(results) if isinstance(one, EntryDraft) else None for one in submissions]
