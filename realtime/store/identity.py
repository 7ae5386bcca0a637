"""Who somebody is to the protocol."""

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["GUEST", "Identity"]

GUEST = "guest:"
"""What a guest's `user_id` starts with."""
NAME_CHARACTERS = 150
"""What the tables hold of a name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or guest; `user` is the model instance, None for a guest.

    `user_id` is the primary key as a string, so it also fits UUID keys.
    """

    user_id: str
    username: str
    user: Any = None

    @classmethod
    def of(cls, user: Any) -> Self:
        """The identity of a Django user."""
        return cls(str(user.pk), user.get_username()[:NAME_CHARACTERS], user)

    @property
    def is_guest(self) -> bool:
        """Whether there is no user behind it."""
        return self.user is None

    @property
    def user_pk(self) -> Any:
        """The user's primary key, None for a guest."""
        return None if self.user is None else self.user.pk
