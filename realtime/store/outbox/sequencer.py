"""Number what the threads of a process without an engine have committed.

One thread numbers at a time, for all that wait: they do not take turns at the lock of a busy log.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Lock, get_ident
from typing import Any

from django.db import DatabaseError, connections

from ..database.alias import database
from ..database.transactions import ROLLED_BACK
from . import topic_numbering
from .room_numbering import number as number_rooms

__all__ = ["Sequencer", "sequencer"]

WAIT_SECONDS = 5.0
"""How long a publisher waits for the thread that numbers, which may wait for the publisher."""


@dataclass
class Batch:
    """What is numbered together."""

    topics: set[str] = field(default_factory=set)
    rooms: set[int] = field(default_factory=set)
    is_done: bool = False


class Sequencer:
    """Gathers a batch of topics and rooms with pending rows while another batch is numbered."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as a forked process must: its lock may be held by a thread that it lacks."""
        self._changed = Condition(Lock())
        self._next = Batch()
        self._is_busy = False
        self._owner = 0
        """The thread that numbers."""

    def number(self, topics: Iterable[str], rooms: Iterable[int]) -> None:
        """Number what is pending there, or wait until another thread has tried to.

        Raises what the database raises.
        """
        is_inner = self._is_busy and self._owner == get_ident()
        if is_inner or connections[database()].in_atomic_block:
            # A receiver of a signal has published; or another thread does not see the rows of a
            # test case.
            _number(Batch(set(topics), set(rooms)))
        elif (batch := self._join(topics, rooms)) is not None:
            try:
                _number(batch)
            finally:
                self._finish(batch)

    def _join(self, topics: Iterable[str], rooms: Iterable[int]) -> Batch | None:
        """Return the next batch if this thread has to number it; None once another one has.

        Also None if that takes too long: then the next publisher numbers it, or a pulse.
        """
        with self._changed:
            batch = self._next
            batch.topics.update(topics)
            batch.rooms.update(rooms)
            can_go_on = partial(self._is_over, batch)
            if not self._changed.wait_for(can_go_on, WAIT_SECONDS) or batch.is_done:
                return None
            self._is_busy, self._owner, self._next = True, get_ident(), Batch()
            return batch

    def _is_over(self, batch: Batch) -> bool:
        return batch.is_done or not self._is_busy

    def _finish(self, batch: Batch) -> None:
        with self._changed:
            batch.is_done, self._is_busy = True, False
            self._changed.notify_all()


def _number(batch: Batch) -> None:
    # All of it was committed before the batch began, so numbering sees it.
    failed: DatabaseError | None = None
    for number, found in ((topic_numbering.number, batch.topics), (number_rooms, batch.rooms)):
        if not found:
            continue
        try:
            _number_free(number, found)
        except DatabaseError as error:  # the rooms do not wait for the topics
            failed = error
    if failed is not None:
        raise failed


def _number_free(number: Callable[..., int], found: set[Any]) -> None:
    """Number all, or if one is locked, all others; a pulse numbers that one."""
    try:
        number(found)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) in ROLLED_BACK:
            number(found, skip_locked=True)
        raise


sequencer = Sequencer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sequencer.reset)
