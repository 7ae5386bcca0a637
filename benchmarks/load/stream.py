"""What a server sends, checked: each sender's texts are numbered, and must come whole and in order.

All members of a room get the same bytes. So a stream of them is read once, for the member who is
ahead; the others only compare theirs with it, and the client is not what limits the server.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Protocol

from harness.client.frames import Frame, frames

__all__ = ["SIZE", "Run", "Stream", "text_of"]

SIZE = 100
"""Bytes of a text, unless somebody wants more."""
TEXT = re.compile(rb"~(\d+)\.(\d+)\.(\d+)\.x*~")
KEPT_FRAMES = 20_000

Run = tuple[int, int, int]
"""A sender, and the first and the last of its numbers that follow one another."""


def text_of(sender: int, number: int, size: int = SIZE) -> str:
    """The text of a sender's message; number 0 is the probe that shows who is listening."""
    return f"~{sender}.{number}.{size}.".ljust(size - 1, "x") + "~"


class Reader(Protocol):
    """Somebody who is in a stream, so far."""

    position: int

    def send(self, payload: bytes, opcode: int) -> None:
        """Answer the server."""


class Stream:
    """The bytes of one or more sockets, and what they say up to each frame."""

    def __init__(self, last: dict[int, int] | None = None) -> None:
        self.data = bytearray()
        self.last = dict(last or {})
        """The last number of each sender."""
        self.readers: list[Reader] = []
        self.faults = 0
        self.probes = 0
        self._base = 0
        self._rest = b""
        self._ends: list[int] = []
        self._counts: list[int] = []
        self._runs: list[list[Run]] = []
        self._count = self._frames = 0

    @property
    def end(self) -> int:
        """How far it goes."""
        return self._base + len(self.data)

    def has(self, position: int, data: bytes) -> bool:
        """Whether these are the bytes that it has at a position, as far as it goes."""
        start = position - self._base
        known = self.data[start : start + len(data)]
        return known == (data if len(known) == len(data) else data[: len(known)])

    def append(self, data: bytes) -> list[Frame]:
        """Add bytes; returns the frames that are whole now."""
        self.data += data
        fresh = self._rest + data
        start = self.end - len(fresh)
        found = list(frames(fresh))
        for opcode, payload, end in found:
            if opcode < 3 and b"~" in payload and (runs := self._read(payload)):
                self._count += sum(last - first + 1 for _, first, last in runs)
                self._ends.append(start + end)
                self._counts.append(self._count)
                self._runs.append(runs)
        self._rest = fresh[found[-1][2] :] if found else fresh
        return found

    def index(self, position: int) -> int:
        """How many frames with messages end up to a position."""
        return self._frames + bisect_right(self._ends, position)

    def count(self, position: int) -> int:
        """How many messages there are up to a position."""
        index = bisect_right(self._ends, position)
        return self._counts[index - 1] if index else self._count - self._kept_count()

    def runs(self, first: int, last: int) -> Iterator[Run]:
        """What the frames from one index to another say."""
        for runs in self._runs[first - self._frames : last - self._frames]:
            yield from runs

    def fork(self, position: int) -> tuple["Stream", int]:
        """A stream that goes on alone, from the last frame that ends before a position."""
        index = bisect_right(self._ends, position)
        start = self._ends[index - 1] if index else self._base
        for _, _, end in frames(bytes(self.data[: position - self._base]), start - self._base):
            start = self._base + end
        other = Stream(self._last_at(index))
        other._count = self.count(position)
        other._frames = self.index(position)
        other.append(bytes(self.data[start - self._base : position - self._base]))
        return other, other.end

    def forget(self) -> None:
        """Drop what all readers have passed, now and then."""
        if len(self._ends) < KEPT_FRAMES:
            return
        index = bisect_right(self._ends, min(reader.position for reader in self.readers))
        if index < KEPT_FRAMES / 2:
            return
        cut = self._ends[index - 1]
        del self.data[: cut - self._base]
        del self._ends[:index], self._counts[:index], self._runs[:index]
        self._base, self._frames = cut, self._frames + index

    def _read(self, payload: bytes) -> list[Run]:
        runs: list[Run] = []
        for match in TEXT.finditer(payload):
            sender, number = int(match[1]), int(match[2])
            self.faults += len(match[0]) != int(match[3])
            if not number:
                self.probes += 1
                continue
            self.faults += number != self.last.get(sender, 0) + 1
            self.last[sender] = number
            if runs and runs[-1][0] == sender and runs[-1][2] == number - 1:
                runs[-1] = (sender, runs[-1][1], number)
            else:
                runs.append((sender, number, number))
        return runs

    def _kept_count(self) -> int:
        return sum(last - first + 1 for runs in self._runs for _, first, last in runs)

    def _last_at(self, index: int) -> dict[int, int]:
        last = dict(self.last)
        for runs in reversed(self._runs[index:]):
            for sender, first, _ in runs:
                last[sender] = min(last[sender], first - 1)
        return last
