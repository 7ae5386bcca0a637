"""Limit open connections: by process, by address and by user.

A refusal is never final. A connection whose network has failed holds its slot until it is found
silent. So a refusal pings silent connections at once, and says when to come back. Guests and users
have separate shares of an address and of the process: a guest costs nothing to make, and must not
keep out users.
"""

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from ...conf import config
from ...store.accounts.identity import Identity
from ...wire.errors import CloseCode, Disconnect
from ...wire.ratelimit import Buckets

__all__ = ["PROBE_SECONDS", "Admission", "Holder", "Slot"]

PROBE_SECONDS = 5.0
"""The time in which a connection that is pinged because of a refusal has to answer."""
PROBES = 100
"""The most connections that one refusal pings."""
PROBE_PAUSE_SECONDS = 1.0
"""The pause between searches for silent connections: each search compares all connections."""
CROWDED_SECONDS = 30.0
"""The `retry_after` if no connection that holds a slot is silent."""
UNAUTHENTICATED_SHARE = 10
"""One of so many slots of a process may be held by unauthenticated clients."""
USERS_SHARE = 10
"""One of so many slots of a process is reserved for users."""


class Holder(Protocol):
    """A connection that holds a slot."""

    identity: Identity
    address: str
    """The address that the connection is counted by, made by `store.accounts.addresses`."""

    @property
    def silent_seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection unless it answers within so many seconds.

        Returns False if the client has sent something just now, or cannot be pinged.
        """


class Admission:
    """Counts open connections and refuses those beyond the limits.

    `holders` returns the connections that have authenticated. An `address` comes from
    `store.accounts.addresses.counted`; an empty one is unknown and not limited.
    """

    def __init__(self, holders: Callable[[], Iterable[Holder]]) -> None:
        self._holders = holders
        self._handshakes = Buckets()
        self._probed_at: dict[str, float] = {}
        self.open = self.unauthenticated = self.guests = 0
        self.arriving: Counter[str] = Counter()
        """Unauthenticated connections by address."""
        self.guests_of: Counter[str] = Counter()
        self.users_of: Counter[str] = Counter()
        """Authenticated connections by address."""
        self.connections_of: Counter[str] = Counter()
        """Authenticated connections by `user_id`."""

    def is_here(self, user_id: str) -> bool:
        """Return whether a user or guest has a connection to this process."""
        return user_id in self.connections_of

    def check_arrival(self, address: str) -> None:
        """Raise `Disconnect` if the address or the process has too many sockets."""
        settings = config()
        if address:
            self._check_handshakes(address)
        if self.open >= settings.connections_per_process:
            raise self._full()
        if address and self.arriving[address] >= settings.connections_per_address:
            raise _refusal(CloseCode.CROWDED, 1, 5)

    def check_unauthenticated(self) -> None:
        """Raise `Disconnect` if too many clients are unauthenticated."""
        most = max(1, config().connections_per_process // UNAUTHENTICATED_SHARE)
        if self.unauthenticated >= most:
            raise _refusal(CloseCode.AT_CAPACITY, 1, 5)

    def check(self, identity: Identity, address: str) -> None:
        """Raise `Disconnect` if this identity would have too many connections."""
        settings = config()
        if self.connections_of[identity.user_id] >= settings.connections_per_user:
            raise self._crowded(
                identity.user_id, lambda one: one.identity.user_id == identity.user_id
            )
        share = self.guests_of if identity.is_guest else self.users_of
        if address and share[address] >= settings.connections_per_address:
            raise self._crowded(
                f"{'guests' if identity.is_guest else 'users'} of {address}",
                lambda one: one.address == address and one.identity.is_guest == identity.is_guest,
            )
        slots = settings.connections_per_process
        if identity.is_guest and self.guests >= slots - slots // USERS_SHARE:
            raise self._full(lambda one: one.identity.is_guest)

    def _check_handshakes(self, address: str) -> None:
        now = time.monotonic()
        bucket = self._handshakes.get(address)
        if bucket is None:
            settings = config()
            rate, burst = settings.handshakes_per_second, settings.handshakes_burst
            bucket = self._handshakes.make(address, rate, burst, now)
        if wait := bucket.spend(now):
            raise _refusal(CloseCode.RATE_LIMITED, wait + 1, wait + 5)

    def _full(self, is_meant: Callable[[Holder], bool] = lambda one: True) -> Disconnect:
        self._probe("", is_meant)
        return _refusal(CloseCode.AT_CAPACITY, 1, 5)

    def _crowded(self, kind: str, is_meant: Callable[[Holder], bool]) -> Disconnect:
        if self._probe(kind, is_meant):
            return _refusal(CloseCode.CROWDED, PROBE_SECONDS, 2 * PROBE_SECONDS)
        return _refusal(CloseCode.CROWDED, CROWDED_SECONDS, 2 * CROWDED_SECONDS)

    def _probe(self, kind: str, is_meant: Callable[[Holder], bool]) -> bool:
        """Ping the most silent connections; return whether any ping waits for its answer."""
        now = time.monotonic()
        if now - self._probed_at.get(kind, -PROBE_PAUSE_SECONDS) < PROBE_PAUSE_SECONDS:
            return True
        if len(self._probed_at) > PROBES:
            self._probed_at = {
                one: at for one, at in self._probed_at.items() if now - at < PROBE_PAUSE_SECONDS
            }
        self._probed_at[kind] = now
        meant = [one for one in self._holders() if is_meant(one)]
        silent = heapq.nlargest(PROBES, meant, key=lambda one: one.silent_seconds)
        return sum(one.probe(PROBE_SECONDS) for one in silent) > 0


class Slot:
    """The slot of one socket, from its handshake to its end."""

    __slots__ = ("_address", "_admission", "_identity", "_is_acquired", "_is_unauthenticated")

    def __init__(self, admission: Admission, address: str) -> None:
        self._admission = admission
        self._address = address
        self._identity: Identity | None = None
        self._is_acquired = self._is_unauthenticated = False

    @property
    def is_authenticated(self) -> bool:
        """Whether it is counted as a connection of a user or guest."""
        return self._identity is not None

    def acquire(self) -> None:
        """Count the socket; raise `Disconnect`, and count nothing, if there are too many."""
        self._admission.check_arrival(self._address)
        self._is_acquired = True
        self._admission.open += 1
        self._admission.arriving[self._address] += 1

    def start_waiting(self) -> None:
        """Count the client as unauthenticated; raise `Disconnect` if there are too many."""
        self._admission.check_unauthenticated()
        self._is_unauthenticated = True
        self._admission.unauthenticated += 1

    def stop_waiting(self) -> None:
        """Stop counting the client as unauthenticated."""
        self._admission.unauthenticated -= self._is_unauthenticated
        self._is_unauthenticated = False

    def authenticate(self, identity: Identity) -> None:
        """Count the connection for this user or guest alone.

        Raises `Disconnect`, and changes nothing, if there are too many.
        """
        if self._identity is None or self._identity.user_id != identity.user_id:
            self._admission.check(identity, self._address)
            self._release()
            self._identity = identity
            self._count(identity, 1)

    def release(self) -> None:
        """Stop counting the socket."""
        if self._is_acquired:
            self._is_acquired = False
            self._release()
            self._admission.open -= 1

    def _release(self) -> None:
        """Remove the connection from the counts of its previous identity."""
        if self._identity is not None:
            self._count(self._identity, -1)
            return
        _add(self._admission.arriving, self._address, -1)
        self.stop_waiting()

    def _count(self, identity: Identity, number: int) -> None:
        admission = self._admission
        admission.guests += number * identity.is_guest
        share = admission.guests_of if identity.is_guest else admission.users_of
        _add(share, self._address, number)
        _add(admission.connections_of, identity.user_id, number)


def _add(counts: Counter[str], key: str, number: int) -> None:
    counts[key] += number
    if counts[key] <= 0:
        del counts[key]


def _refusal(code: CloseCode, least: float, most: float) -> Disconnect:
    """Make a refusal with a random `retry_after`, which spreads the clients that come back."""
    return Disconnect(code, retry_after=round(random.uniform(least, most), 2))  # noqa: S311
