"""Bytes given to a server that never says that it is full, until the client acknowledges them."""

import secrets

__all__ = ["Ledger"]

ASK_AT = 4
"""The client is pinged once a fourth of the allowed bytes is unacknowledged."""


class Ledger:
    """Allows `most` bytes that the client has not acknowledged.

    The client is asked by a token that nobody can guess, so only a client that has read the
    question, and so everything before it, can answer.
    """

    __slots__ = ("_acknowledged", "_asked", "_given", "_most", "_token")

    def __init__(self, most: int) -> None:
        self._most = most
        self._given = self._acknowledged = self._asked = 0
        self._token: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether the client has to answer before it is sent more."""
        return self._given - self._acknowledged >= self._most

    def give(self, size: int) -> str | None:
        """Count bytes that were given to the server; return a token for a `ping`, or None."""
        self._given += size
        if self._token is not None or (self._given - self._acknowledged) * ASK_AT < self._most:
            return None
        self._token, self._asked = secrets.token_hex(8), self._given
        return self._token

    def acknowledge(self, token: object) -> bool:
        """Take the token of a `pong`; return whether it is the expected one."""
        if self._token is None or token != self._token:
            return False
        self._acknowledged, self._token = self._asked, None
        return True
