"""Number what the threads of a process without an engine have committed.

One thread numbers at a time, for all that wait: they do not take turns at the lock of a busy log.
"""

import os
from collections.abc import Iterable
from threading import Lock

from django.db import connections

from ..database.alias import database
from ..messages.numbering import number as number_rooms
from . import numbering

__all__ = ["Sequencer", "sequencer"]


class Sequencer:
    """Gathers topics and rooms with pending rows while another thread numbers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as a forked process must: its locks may be held by threads that it lacks."""
        self._turn, self._gate = Lock(), Lock()
        self._topics: set[str] = set()
        self._rooms: set[int] = set()

    def number(self, topics: Iterable[str], rooms: Iterable[int]) -> None:
        """Number what is pending there, or wait until another thread has done so.

        Raises what the database raises.
        """
        if connections[database()].in_atomic_block:
            # A test case: another thread does not see its rows.
            numbering.number(topics)
            number_rooms(rooms)
            return
        with self._gate:
            self._topics.update(topics)
            self._rooms.update(rooms)
        with self._turn:
            self._number_all()

    def _number_all(self) -> None:
        # What is taken here was committed before, so numbering sees it.
        with self._gate:
            topics, self._topics = self._topics, set()
            rooms, self._rooms = self._rooms, set()
        if topics:
            numbering.number(topics)
        if rooms:
            number_rooms(rooms)


sequencer = Sequencer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sequencer.reset)
