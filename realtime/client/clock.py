"""Waits between attempts, and signs that the machine has slept."""

import random
import time

__all__ = ["Backoff", "SleepCheck"]

LEAST_SECONDS, FIRST_SECONDS, GROWTH, MOST_SECONDS = 0.5, 1.5, 1.5, 30.0
JUMP_SECONDS = 5.0


class Backoff:
    """The waits between attempts to connect: they grow, and are random, so that clients spread."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Begin with short waits again, because a connection has been stable."""
        self._failures = 0

    def next(self, retry_after: float | None = None) -> float:
        """Return the seconds to wait; `retry_after` is what the server has asked for at least."""
        ceiling = min(MOST_SECONDS, FIRST_SECONDS * GROWTH**self._failures)
        self._failures = min(self._failures + 1, 20)
        if retry_after:
            return retry_after * random.uniform(1, 2)  # noqa: S311
        return LEAST_SECONDS + random.uniform(0, ceiling - LEAST_SECONDS)  # noqa: S311


class SleepCheck:
    """Notices that the machine was suspended: a line may be dead then, though nobody has closed it.

    The monotonic clock of some systems stands still during sleep, so the wall clock counts too. A
    wall clock that was set looks the same, which costs one ping.
    """

    def __init__(self) -> None:
        self._seen = self._now()

    def has_slept(self, expected: float) -> bool:
        """Return whether much more than `expected` seconds have passed since the last call."""
        before, self._seen = self._seen, self._now()
        return any(
            abs(now - then - expected) > JUMP_SECONDS
            for now, then in zip(self._seen, before, strict=True)
        )

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.monotonic(), time.time()
