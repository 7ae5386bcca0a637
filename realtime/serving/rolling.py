"""The replacement of all workers by new ones, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from .slot import Slot
from .worker import Worker

__all__ = ["Rolling"]


@dataclass
class Rolling:
    """The progress of a roll: at most one worker is starting, or one is draining.

    Each worker belongs to a generation, which is the number of rolls before its start.
    """

    generation: int = 0
    is_on: bool = False
    slot: Slot | None = None
    """The place that is being changed."""
    successor: Worker | None = None
    retiring: Worker | None = None

    def begin(self) -> Worker | None:
        """Begin a roll; return a worker that was being started for the one before, if any."""
        dropped, self.successor = self.successor, None
        self.generation += 1
        self.is_on = True
        return dropped

    def replace(self, slot: Slot, successor: Worker) -> None:
        """Note that a worker is being started for a place."""
        self.slot, self.successor = slot, successor

    def take_over(self) -> Worker | None:
        """Put the successor into its place; return the worker that has to drain, if any."""
        slot, successor = self.slot, self.successor
        self.slot = self.successor = None
        if slot is None or successor is None:
            return None
        self.retiring = slot.worker
        slot.worker, slot.failures = successor, 0
        return self.retiring

    def give_up(self) -> None:
        """Keep the workers that there are."""
        self.is_on = False
        self.successor = self.slot = None

    def next_slot(self, slots: Sequence[Slot]) -> Slot | None:
        """Return the place whose worker is replaced next, or None while there is none."""
        if not self.is_on or self.successor is not None or self.retiring is not None:
            return None
        old = [
            slot
            for slot in slots
            if slot.worker is not None and slot.worker.generation < self.generation
        ]
        if not old and all(slot.worker is not None for slot in slots):
            self.is_on = False
        return old[0] if old else None
