"""Count unacknowledged bytes, for a server that never reports that its buffer is full."""

import asyncio
import secrets

__all__ = ["Ledger"]

PING_AT = 4
"""The client is pinged once a fourth of the allowed bytes is unacknowledged."""


class Ledger:
    """Allows `most` bytes that the client has not acknowledged.

    A `ping` carries a random token. So only a client that has read the `ping`, and everything
    before it, can answer with that token.
    """

    __slots__ = ("_acknowledged", "_given", "_most", "_pinged", "_room", "_token")

    def __init__(self, most: int) -> None:
        self._most = most
        self._given = self._acknowledged = self._pinged = 0
        self._token: str | None = None
        self._room = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether the client has to acknowledge bytes before more are sent."""
        return self._given - self._acknowledged >= self._most

    def give(self, size: int) -> str | None:
        """Count bytes that were given to the server; return the token of a `ping`, or None."""
        self._given += size
        if self._token is not None or (self._given - self._acknowledged) * PING_AT < self._most:
            return None
        self._token, self._pinged = secrets.token_hex(8), self._given
        return self._token

    def acknowledge(self, token: object) -> bool:
        """Accept the token of a `pong`; return whether it is the expected one."""
        if self._token is None or token != self._token:
            return False
        self._acknowledged, self._token = self._pinged, None
        self._room.set()
        return True

    async def has_room(self) -> None:
        """Wait until more bytes may be sent."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()
