"""The place of one worker: who fills it, and when it is tried again after a failure."""

from .worker import Worker

__all__ = ["TRIES", "Slot"]

TRIES = 5
"""So many failed starts in a row end the supervisor, if no worker is in service."""
STEADY_SECONDS = 10.0
"""A worker that has served for so long did not fail to start."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between a failure and the next try; each pause is twice as long as the one before."""


class Slot:
    """One of the workers that a supervisor keeps in service."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.failures = 0
        self.start_at = 0.0
        """When the next worker may be started."""

    @property
    def is_serving(self) -> bool:
        """Whether its worker accepts connections."""
        return self.worker is not None and self.worker.is_serving

    @property
    def is_hopeless(self) -> bool:
        """Whether its worker has failed to start again and again."""
        return self.worker is None and self.failures >= TRIES

    def vacate(self, now: float, *, served_since: float | None) -> None:
        """Note that its worker has ended; `served_since` is when it began to serve, if it did."""
        self.worker = None
        if served_since is not None and now - served_since >= STEADY_SECONDS:
            self.failures = 0
        self.start_at = now + self._pause()
        self.failures += 1

    def _pause(self) -> float:
        """Return the time until the next try; after a long service there is none."""
        return min(FIRST_PAUSE * 2 ** (self.failures - 1), LONGEST_PAUSE) if self.failures else 0.0
