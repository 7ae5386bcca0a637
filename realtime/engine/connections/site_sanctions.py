"""The bans and mutes of the whole site, as far as this process has heard of them.

While there are none, a client that connects causes no query.
"""

import asyncio
from typing import NewType

from django.db import Error as DatabaseError

from ...store.accounts.visitor import Visitor
from ...store.moderation import sanctions
from ...wire.errors import CloseCode, Disconnect
from ..database.executor import Database

__all__ = ["Clearance", "SiteSanctions"]

BAN_SECONDS = 1.0
"""A handshake waits no longer for the sanctions of its user."""
Clearance = NewType("Clearance", int)
"""The version of the sanctions against which a client was checked."""


class SiteSanctions:
    """Checks clients that connect, and knows whether that check still holds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.are_any = True
        """Whether any user or address is banned or muted on the whole site, as far as is known."""
        self._version = 0
        """How often this process has heard of a change."""

    async def check(self, visitor: Visitor) -> Clearance | None:
        """Check a client against the bans; raise `Disconnect` for one that is banned.

        Returns None where the database does not answer. The client is checked later then, and
        enters no room before.
        """
        version = Clearance(self._version)
        if not self.are_any:
            return version
        try:
            async with asyncio.timeout(BAN_SECONDS):
                found = await self._db.load(sanctions.on_site, visitor)
        except (DatabaseError, TimeoutError):
            return None
        if (ban := sanctions.ban_among(found or ())) is not None:
            raise Disconnect(CloseCode.KICKED, sanctions.describe(ban, *visitor.identity.user_ids))
        return version

    def is_current(self, clearance: Clearance | None) -> bool:
        """Whether a client was checked, and nothing has changed since."""
        return clearance == self._version

    def change(self) -> None:
        """Count a change that this process has heard of."""
        self.are_any = True
        self._version += 1

    async def refresh(self) -> None:
        """Ask the database whether there are any; a change that is heard meanwhile counts."""
        version = self._version
        found = await self._db.read(sanctions.are_any_on_site)
        self.are_any = found or version != self._version
