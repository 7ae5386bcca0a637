"""Notice calls that follow each other closely, so that some can stand for many."""

__all__ = ["BURST_CALLS", "BURST_SECONDS", "Burst"]

BURST_SECONDS, BURST_CALLS = 0.02, 20
"""So many calls, each within this time after the one before, are the beginning of a burst."""


class Burst:
    """Counts the calls that follow each other, by times of one clock; its owner holds a lock."""

    __slots__ = ("_called_at", "_in_a_row")

    def __init__(self) -> None:
        self._called_at = 0.0
        self._in_a_row = 0

    def count(self, now: float) -> bool:
        """Count a call; return whether it belongs to a burst."""
        is_next = now < self._called_at + BURST_SECONDS
        self._in_a_row = self._in_a_row + 1 if is_next else 0
        self._called_at = now
        return self._in_a_row >= BURST_CALLS

    def resume(self, now: float) -> None:
        """Note that the caller goes on now: the time for which it has waited is no pause."""
        self._called_at = now
