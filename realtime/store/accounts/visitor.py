"""A user or guest with an address, to which sanctions may apply."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from .identity import Identity

__all__ = ["Subject", "Visitor"]


class Subject(NamedTuple):
    """The target of sanctions; `address` is empty if it is unknown or a proxy's."""

    user_key: str
    address: str = ""
    since: datetime | None = None
    """When the user entered the room; None for a user who is not in it."""
    formerly: tuple[str, ...] = ()
    """Earlier `user_id`s of the connection: a new `auth` does not end a ban."""

    @classmethod
    def of(cls, identity: Identity, address: str, since: datetime | None = None) -> Self:
        """Return the subject for a user or guest with an address."""
        return cls(identity.user_id, address, since, identity.formerly)

    @property
    def user_keys(self) -> tuple[str, ...]:
        """Return all `user_id`s to which a sanction may apply."""
        return self.user_key, *self.formerly


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """A user or guest with an address; no two are equal, as with `AccessRequest`."""

    identity: Identity
    address: str = ""

    @property
    def subject(self) -> Subject:
        """Return the target of sanctions."""
        return Subject.of(self.identity, self.address)

    @property
    def thread_owner(self) -> str:
        """Return who has a share of the threads for calls: a user, or the guests of an address."""
        is_shared = self.identity.is_guest and self.address
        return f"guests of {self.address}" if is_shared else self.identity.user_id
