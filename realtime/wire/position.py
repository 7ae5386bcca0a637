"""Where a process or client stands in a room's log, and what an event means to it."""

from enum import Enum

__all__ = ["Position", "Verdict"]


class Verdict(Enum):
    """What to do with an event."""

    NEXT = "next"
    REPEAT = "repeat"
    GAP = "gap"


class Position:
    """The last position taken in one epoch of a log.

    An event covers `first` to `seq`: positions without a row (superseded by a later change)
    are normal, and an event after such a hole says so by `first`.
    """

    __slots__ = ("epoch", "seq")

    def __init__(self, seq: int = 0, epoch: str = "") -> None:
        self.seq = seq
        self.epoch = epoch

    def judge(self, seq: int, first: int | None = None) -> Verdict:
        """Say whether an event is the next one, an old one, or shows that some are missing."""
        if seq <= self.seq:
            return Verdict.REPEAT
        if (seq if first is None else first) > self.seq + 1:
            return Verdict.GAP
        return Verdict.NEXT

    def advance(self, seq: int) -> None:
        """Move on to `seq`; never back."""
        if seq > self.seq:
            self.seq = seq

    def reset(self, seq: int, epoch: str) -> None:
        """Start again in another epoch."""
        self.seq, self.epoch = seq, epoch

    def __repr__(self) -> str:
        return f"Position({self.seq}, {self.epoch!r})"
