"""Token buckets for a rate limit; the caller passes the time."""

from collections.abc import Hashable

__all__ = ["Bucket", "Buckets"]

BUCKETS = 10_000
"""How many buckets are kept before full ones are removed."""


class Bucket:
    """Allows `rate` a second on average and `burst` at once.

    `now` is in seconds of any clock that never goes back.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at = now

    def spend(self, now: float, amount: float = 1) -> float:
        """Spend `amount` and return 0, or return the seconds until that much is there."""
        self._fill(now)
        if self._tokens >= amount:
            self._tokens -= amount
            return 0.0
        return (amount - self._tokens) / self.rate

    def owe(self, now: float, amount: float) -> float:
        """Spend `amount` even if less is left; return the seconds until earlier debts end.

        The debt is never more than `burst`.
        """
        self._fill(now)
        wait = -self._tokens / self.rate if self._tokens < 0 else 0.0
        self._tokens = max(-float(self.burst), self._tokens - amount)
        return wait

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is as good as new, so that it may be removed."""
        return self._tokens + (now - self._at) * self.rate >= self.burst

    def _fill(self, now: float) -> None:
        # Runs several times for each command: calls of `min` and `max` would be half of its time.
        passed, self._at = now - self._at, now
        if passed > 0:
            tokens = self._tokens + passed * self.rate
            self._tokens = tokens if tokens < self.burst else self.burst


class Buckets(dict[Hashable, Bucket]):
    """Buckets by key; full ones are removed from time to time."""

    def __init__(self) -> None:
        super().__init__()
        self._most = BUCKETS

    def make(self, key: Hashable, rate: float, burst: float, now: float) -> Bucket:
        """Add a bucket that allows `rate` a second and `burst` at once."""
        if len(self) >= self._most:
            self._remove_full(now)
        bucket = self[key] = Bucket(rate, burst, now)
        return bucket

    def _remove_full(self, now: float) -> None:
        for key in [key for key, bucket in self.items() if bucket.is_full(now)]:
            del self[key]
        self._most = max(BUCKETS, 2 * len(self))  # checking all of them takes a millisecond
