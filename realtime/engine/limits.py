"""How much one user, one address and the whole process may have, of connections and of commands."""

import random
import time
from collections import Counter

from ..conf import config
from ..store.identity import Identity
from ..wire.errors import CloseCode, Disconnect
from ..wire.ratelimit import Bucket

__all__ = ["Limits"]

BUCKETS = 10_000
"""How many are kept before those that are full again are forgotten."""
UNKNOWN_SHARE = 10
"""Of so many places one at most is for those who have yet to say who they are."""
GUESTS = 10
"""As many users' allowances all guests of one address have together: a name costs them nothing."""


class Limits:
    """Counts what is open, and what was asked lately."""

    def __init__(self) -> None:
        self._open = self._unknown = 0
        self._addresses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._many = BUCKETS

    # Connections.

    def enter(self, address: str) -> None:
        """Count one more socket; raise `Disconnect` where that is too many, and count nothing.

        `address` is empty where nobody knows it; then it is not limited.
        """
        settings = config()
        if self._open >= settings.connections_per_process:
            raise _full()
        if address and self._addresses[address] >= settings.connections_per_address:
            raise Disconnect(CloseCode.CONNECTION_LIMIT)
        self._open += 1
        self._addresses[address] += 1

    def leave(self, address: str) -> None:
        """A socket that has entered is gone."""
        self._open -= 1
        _take_off(self._addresses, address)

    def wait_in(self) -> None:
        """Count one more that has yet to say who it is; raise `Disconnect` if that is too many."""
        if self._unknown >= max(1, config().connections_per_process // UNKNOWN_SHARE):
            raise _full()
        self._unknown += 1

    def wait_out(self) -> None:
        """It has, or is gone."""
        self._unknown -= 1

    def sign_in(self, user_id: str) -> None:
        """Count one more connection of a user; raise `Disconnect` where that is too many."""
        if self._users[user_id] >= config().connections_per_user:
            raise Disconnect(CloseCode.CONNECTION_LIMIT)
        self._users[user_id] += 1

    def sign_out(self, user_id: str) -> None:
        """A connection that has signed in is gone, or is now somebody else's."""
        _take_off(self._users, user_id)

    def is_signed_in(self, user_id: str) -> bool:
        """Return whether a user or guest has a connection to this process."""
        return user_id in self._users

    # Commands.

    def wait(self, who: Identity, address: str, kind: str, amount: float = 1) -> float:
        """Take from one of the allowances of `wire/costs.py`; return the seconds to wait, or 0.

        A user has one over all its connections; guests also share those of their address.
        """
        now = time.monotonic()
        own = self._bucket(who.user_id, kind, now)
        wait = own.take(now, min(amount, own.burst))
        if wait or not (who.is_guest and address):
            return wait
        shared = self._bucket(f"guests of {address}", kind, now, GUESTS)
        return shared.take(now, min(amount, shared.burst))

    def owe(self, who: Identity, address: str, kind: str, amount: float) -> float:
        """Take from the same allowances, or from that of "bytes", also what is not there.

        Returns the seconds until earlier debts are paid, or 0.
        """
        now = time.monotonic()
        wait = self._bucket(who.user_id, kind, now).owe(now, amount)
        if who.is_guest and address:
            shared = self._bucket(f"guests of {address}", kind, now, GUESTS)
            wait = max(wait, shared.owe(now, amount))
        return wait

    def _bucket(self, whose: str, kind: str, now: float, times: int = 1) -> Bucket:
        bucket = self._buckets.get((whose, kind))
        if bucket is None:
            if len(self._buckets) >= self._many:
                self._forget_full(now)
            rate, burst = _allowance(kind)
            bucket = self._buckets[whose, kind] = Bucket(rate * times, burst * times, now)
        return bucket

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)
        }
        self._many = max(BUCKETS, 2 * len(self._buckets))  # looking costs a millisecond


def _full() -> Disconnect:
    return Disconnect(CloseCode.AT_CAPACITY, retry_after=round(random.uniform(1, 5), 2))  # noqa: S311


def _allowance(kind: str) -> tuple[float, float]:
    settings = config()
    match kind:
        case "message":
            return settings.messages_per_second, settings.messages_burst
        case "join":
            return settings.joins_per_second, settings.rooms_per_connection
        case "report":
            return settings.reports_per_minute / 60, settings.reports_per_minute
        case "act":
            return settings.acts_per_minute / 60, settings.acts_per_minute
        case "bytes":
            return settings.receive_bytes_per_second, settings.receive_bytes_burst
        case "room":
            return settings.rooms_per_minute / 60, settings.rooms_per_minute
        case _:
            return settings.commands_per_second, settings.commands_burst


def _take_off(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
