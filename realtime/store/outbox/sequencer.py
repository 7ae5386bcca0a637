"""Number what the threads of a process without an engine have committed.

A publisher numbers its own rows, so that they have their positions when it returns. If many publish
at once or one after the other, a thread numbers for all of them (group commit). They leave their
rows to it and go on, so none waits for the lock of a busy log, and the batches grow with the load.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.util import Finalize
from threading import Condition, Lock, Thread, current_thread, get_ident
from typing import Any

from django.db import DatabaseError, connections

from ...bursts import Burst
from ...logs import get_logger
from ..database.alias import database
from ..database.transactions import is_rolled_back
from . import topic_numbering
from .attempts import attempt_each
from .room_numbering import number as number_rooms

__all__ = ["Sequencer", "sequencer"]

logger = get_logger("realtime.topics")

PAUSE_SECONDS, PAUSE_EACH_SECONDS = 0.008, 0.002
"""The longest pause between two batches of the thread, and that for each entry of the last one."""
LINGER_SECONDS = 0.2
"""After this time without work, the thread ends and closes its connection."""
LAG_SECONDS, WAIT_SECONDS = 0.1, 0.5
"""A publisher waits for the thread if that is so far behind, and how long at most."""
SETTLE_SECONDS = 2.0
SWEEP_SECONDS = 10.0
"""The least time between two searches of a process for what others have left."""


@dataclass
class Batch:
    """The topics and rooms that are numbered together."""

    topics: set[str] = field(default_factory=set)
    rooms: set[int] = field(default_factory=set)

    def add(self, other: "Batch") -> None:
        """Number those of another batch too."""
        self.topics |= other.topics
        self.rooms |= other.rooms

    def __bool__(self) -> bool:
        return bool(self.topics or self.rooms)


class Sequencer:
    """Numbers one batch at a time, and gathers the next one meanwhile."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as a forked process must: it has no thread of its parent."""
        self._changed = Condition(Lock())
        self._next = Batch()
        """What publishers have left to the thread."""
        self._owner = 0
        """The thread that numbers, or 0."""
        self._left_at = 0.0
        """When the first of it was left."""
        self._thread: Thread | None = None
        self._finalizer: Finalize | None = None
        self._swept_at = -SWEEP_SECONDS
        self._burst = Burst()
        """Publishers that follow each other closely leave the numbering to the thread."""

    def number(self, topics: Iterable[str], rooms: Iterable[int]) -> None:
        """Number what is committed there, or leave it to the thread of this process.

        Raises what the database raises.
        """
        batch = Batch(set(topics), set(rooms))
        if self._owner == get_ident() or connections[database()].in_atomic_block:
            # A receiver of a signal has published; or the thread does not see the rows of a test
            # case.
            _number(batch)
        elif self._begin(batch):
            try:
                _number(batch)
            finally:
                self._end()

    def is_sweep_due(self) -> bool:
        """Return whether the caller should number what others have left, which is so now and then.

        In a test case it is not: nothing that others have committed can be seen there.
        """
        now = time.monotonic()
        with self._changed:
            if now < self._swept_at + SWEEP_SECONDS or connections[database()].in_atomic_block:
                return False
            self._swept_at = now
            return True

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the thread that numbers for others."""
        return self._thread is current_thread()

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until everything that was left is numbered, at most for so many seconds."""
        if (self._next or self._owner) and self._owner != get_ident():
            with self._changed:
                self._changed.wait_for(lambda: not self._next and not self._owner, seconds)

    def _begin(self, batch: Batch) -> bool:
        """Return whether the caller has to number a batch; else it is left to the thread."""
        with self._changed:
            if not (self._burst.count(time.monotonic()) or self._owner or self._next):
                self._owner = get_ident()
                return True
            self._leave(batch)
            return False

    def _leave(self, batch: Batch) -> None:
        """Leave a batch to the thread; wait if the thread does not keep up with the publishers."""
        if not self._next:
            self._left_at = time.monotonic()
        self._next.add(batch)
        self._wake()
        if time.monotonic() > self._left_at + LAG_SECONDS:
            gathered = self._next
            self._changed.wait_for(lambda: self._next is not gathered, WAIT_SECONDS)

    def _end(self) -> None:
        with self._changed:
            self._owner = 0
            self._changed.notify_all()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._run, name="realtime-sequencer", daemon=True)
            self._thread.start()
            if self._finalizer is None:
                # At the end of this process, also of a child of `multiprocessing`, and before the
                # notes of the publisher are flushed.
                self._finalizer = Finalize(None, self.settle, exitpriority=10)
        self._changed.notify_all()

    # In the thread.

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                pause = PAUSE_SECONDS
                try:
                    pause = _pause_after(_number(batch))
                except Exception as error:  # it is committed: a pulse numbers it
                    logger.warning("published entries wait for their position: %r", error)
                finally:
                    self._end()
                time.sleep(pause)
        finally:
            connections.close_all()

    def _next_batch(self) -> Batch:
        """Wait for what publishers leave; after a while without it, the thread ends."""
        with self._changed:
            while not self._changed.wait_for(self._has_work, LINGER_SECONDS):
                if not self._next:
                    self._thread = None
                    return Batch()
            batch, self._next, self._owner = self._next, Batch(), get_ident()
            self._changed.notify_all()
            return batch

    def _has_work(self) -> bool:
        return bool(self._next) and not self._owner


def _pause_after(count: int) -> float:
    """Return the pause after a batch of so many entries, in which the next one grows.

    Under load, large batches save what publishers need; a few entries are told sooner.
    """
    return min(count * PAUSE_EACH_SECONDS, PAUSE_SECONDS)


def _number(batch: Batch) -> int:
    # All of it was committed before the batch began, so numbering sees it.
    kinds = ((topic_numbering.number, batch.topics), (number_rooms, batch.rooms))
    return attempt_each(partial(_number_free, number, found) for number, found in kinds if found)


def _number_free(number: Callable[..., int], found: set[Any]) -> int:
    """Number all, or if one is locked, all others; a pulse numbers that one."""
    try:
        return number(found)
    except DatabaseError as error:
        if is_rolled_back(error):
            number(found, skip_locked=True)
        raise


sequencer = Sequencer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sequencer.reset)
