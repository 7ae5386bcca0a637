"""Apply the rate limits: how many commands one user, or all guests of one address, may send."""

import time

from ...conf import config
from ...store.accounts.identity import Identity
from ...wire.ratelimit import Bucket, Buckets
from .connection import Connection

__all__ = ["Limits"]

GUESTS = 10
"""All guests of one address share the allowances of so many users: guests cost nothing."""
GUESTS_STORED = 2
"""The same for stored bytes, which stay in the database."""


class Limits:
    """The allowances of all users and addresses in this process."""

    def __init__(self) -> None:
        self._buckets = Buckets()

    def charge(
        self,
        connection: Connection,
        kind: str,
        amount: float = 1,
        *,
        identity: Identity | None = None,
    ) -> float:
        """Charge one of the allowances of `wire/costs.py`; return the seconds to wait, or 0.

        All connections of a user share one allowance; guests also share that of their address.
        `identity` is given if the connection is about to get another one.
        """
        now, address = time.monotonic(), connection.address
        identity = connection.identity if identity is None else identity
        wait = 0.0
        for user_id in identity.user_ids:
            own = self._bucket(user_id, kind, now)
            wait = max(wait, own.spend(now, min(amount, own.burst)))
        if wait or not (identity.is_guest and address):
            return wait
        shared = self._bucket(f"guests of {address}", kind, now, _share(kind))
        return shared.spend(now, min(amount, shared.burst))

    def owe(self, connection: Connection, kind: str, amount: float) -> float:
        """Charge the same allowances, or "bytes", even beyond what is left.

        Returns the seconds until earlier debts are paid, or 0.
        """
        now, identity, address = time.monotonic(), connection.identity, connection.address
        wait = 0.0
        for user_id in identity.user_ids:
            wait = max(wait, self._bucket(user_id, kind, now).owe(now, amount))
        if identity.is_guest and address:
            shared = self._bucket(f"guests of {address}", kind, now, _share(kind))
            wait = max(wait, shared.owe(now, amount))
        return wait

    def _bucket(self, whose: str, kind: str, now: float, times: int = 1) -> Bucket:
        bucket = self._buckets.get((whose, kind))
        if bucket is None:
            rate, burst = _allowance(kind)
            bucket = self._buckets.make((whose, kind), rate * times, burst * times, now)
        return bucket


def _allowance(kind: str) -> tuple[float, float]:
    settings = config()
    match kind:
        case "message":
            return settings.messages_per_second, settings.messages_burst
        case "join":
            return settings.joins_per_second, settings.rooms_per_connection
        case "subscribe":
            return settings.subscribes_per_second, 2 * settings.topics_per_connection
        case "report":
            return settings.reports_per_minute / 60, settings.reports_per_minute
        case "act":
            return settings.acts_per_minute / 60, settings.acts_per_minute
        case "stored":
            return settings.message_bytes_per_hour / 3600, settings.message_bytes_per_hour
        case "bytes":
            return settings.receive_bytes_per_second, settings.receive_bytes_burst
        case "room":
            return settings.rooms_per_minute / 60, settings.rooms_per_minute
        case _:
            return settings.commands_per_second, settings.commands_burst


def _share(kind: str) -> int:
    """Return the number of allowances that all guests of one address share."""
    return GUESTS_STORED if kind == "stored" else GUESTS
