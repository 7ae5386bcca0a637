"""The counts of one process since its start: plain numbers that only grow.

The code that does a thing counts it, once for a batch where there is one. Nothing here
locks: CPython changes threads only at calls and jumps, so `+=` of a number is not interrupted.
`engine/numbers.py` reads them, for metrics, the admin and commands.
"""

import os
from bisect import bisect_left
from collections import Counter

__all__ = ["BOUNDS", "CLIENT_CODES", "Counts", "Histogram", "counts"]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The upper bounds of the buckets of times, in seconds; the last bucket has none."""
CLIENT_CODES = range(1000, 1016)
"""The close codes of clients that are counted one by one; there are few, as each is a label."""
OTHER_CODE = 1006
"""The code that stands for every other one of a client, as for none (RFC 6455, section 7.4.1)."""


class Histogram:
    """Times in buckets: how many were at most as long as each of `BOUNDS`, and longer."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Counts:
    """The numbers of one process; each only grows."""

    __slots__ = (
        "acks",
        "bytes_received",
        "bytes_sent",
        "closed",
        "commands",
        "deliveries",
        "errors",
        "events_repaired",
        "frames_received",
        "frames_sent",
        "notes_received",
        "notes_sent",
        "numbered",
        "numberings",
        "opened",
        "published",
        "refused",
        "repairs",
    )

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at zero, as a new process does."""
        self.opened = 0
        """Connections that were opened."""
        self.closed: Counter[int] = Counter()
        """Connections that were open, by their close code."""
        self.refused: Counter[str] = Counter()
        """Handshakes that did not become a connection, by the reason."""
        self.frames_received = self.bytes_received = 0
        """Frames of clients after the handshake, and their bytes."""
        self.commands = 0
        """Commands of clients that were decoded; of raw clients, their frames."""
        self.errors: Counter[str] = Counter()
        """`error` replies, by their code."""
        self.frames_sent = self.bytes_sent = 0
        """Frames for clients, and their bytes."""
        self.deliveries = 0
        """Events for each connection that was sent them by a topic."""
        self.acks = Histogram()
        """The times from a message, change or awaited event of this process to its commit."""
        self.published = 0
        """Events and values that code has published to topics, also if it is rolled back later."""
        self.numberings = self.numbered = 0
        """Transactions that gave positions to published entries and messages, and how many."""
        self.repairs = self.events_repaired = 0
        """Missing events that were read from the database: how often, and how many."""
        self.notes_sent = self.notes_received = 0
        """Notes that went through the channel layer."""

    def deliver(self, events: int, frames: int, size: int, members: int) -> None:
        """Count events that each of so many members was sent, in frames of so many bytes."""
        self.deliveries += events * members
        self.frames_sent += frames * members
        self.bytes_sent += size * members

    def number(self, entries: int) -> None:
        """Count a transaction that gave so many published entries their positions."""
        self.numberings += entries > 0
        self.numbered += entries

    def close(self, code: int | None, client_code: int = OTHER_CODE) -> None:
        """Count the end of an open connection by the code of the server, else by the client's.

        A client may send any of some thousand codes, also those of the server (4008).
        """
        known = client_code if client_code in CLIENT_CODES else OTHER_CODE
        self.closed[code or known] += 1


counts = Counts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=counts.reset)
