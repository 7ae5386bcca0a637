"""The position of a process or client in a log, by which events are judged."""

from collections.abc import Hashable
from enum import Enum
from typing import Protocol

__all__ = ["LogState", "Order", "Position"]


class LogState(Protocol):
    """The current state of something in a log: of a message, an event or a value."""

    @property
    def id(self) -> Hashable:
        """What the state is of; a later state of the same id replaces this one."""

    @property
    def position(self) -> int:
        """The position of this state in the log."""

    @property
    def origin(self) -> Hashable:
        """By whom and when it was made: another history has another state at its position."""

    @property
    def memory_size(self) -> int:
        """About how many bytes the variable parts take in memory."""


class Order(Enum):
    """Where an event stands behind a position."""

    NEXT = "next"
    REPEAT = "repeat"
    GAP = "gap"


class Position:
    """The last position reached in one epoch of a log.

    An event covers `first` to `seq`. Positions without a row (superseded by a later change)
    are normal: the `first` of the next event includes them.
    """

    __slots__ = ("epoch", "seq")

    def __init__(self, seq: int = 0, epoch: str = "") -> None:
        self.seq = seq
        self.epoch = epoch

    def judge(self, seq: int, first: int | None = None) -> Order:
        """Return whether an event is the next one, a repeat, or shows a gap."""
        if seq <= self.seq:
            return Order.REPEAT
        if (seq if first is None else first) > self.seq + 1:
            return Order.GAP
        return Order.NEXT

    def advance(self, seq: int) -> None:
        """Move forward to `seq`, never back."""
        if seq > self.seq:
            self.seq = seq

    def reset(self, seq: int, epoch: str) -> None:
        """Start again in another epoch."""
        self.seq, self.epoch = seq, epoch

    def __repr__(self) -> str:
        return f"Position({self.seq}, {self.epoch!r})"
