"""Somebody and the address they come from: whom a sanction may hit."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from .identity import Identity

__all__ = ["Subject", "Visitor"]


class Subject(NamedTuple):
    """Whom a sanction may hit; `address` is empty where it is not known, or is a proxy's."""

    user_key: str
    address: str = ""
    since: datetime | None = None
    """Since when they are in the room; None for who is not there."""
    formerly: tuple[str, ...] = ()
    """Whom else the connection has been: an `auth` does not end a ban."""

    @classmethod
    def of(cls, who: Identity, address: str, since: datetime | None = None) -> Self:
        """A user or guest who comes from an address."""
        return cls(who.user_id, address, since, who.formerly)

    @property
    def user_keys(self) -> tuple[str, ...]:
        """All names that a sanction may hit."""
        return self.user_key, *self.formerly


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """Somebody who comes from an address; no two are the same, as with `rooms.Ask`."""

    who: Identity
    address: str = ""

    @property
    def subject(self) -> Subject:
        """Whom a sanction may hit."""
        return Subject.of(self.who, self.address)
