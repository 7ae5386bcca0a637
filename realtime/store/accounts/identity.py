"""Who somebody is to the protocol, and what that rests on."""

from dataclasses import dataclass, field, replace
from hashlib import blake2s
from typing import Any, NamedTuple, Self

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .display import display_name

__all__ = [
    "GUEST",
    "GUEST_NAME",
    "KEY_CHARACTERS",
    "SITE",
    "Authentication",
    "Credential",
    "Identity",
    "digest_of",
    "direct_key",
    "fault_of_key",
]

GUEST = "guest:"
"""What a guest's `user_id` starts with."""
GUEST_NAME = "Guest"
"""What the name starts with that the server gives to a guest; a number follows."""


SITE = "site:"
"""What the `user_id` of a message from the site itself starts with."""
KEY_CHARACTERS = 150
"""The longest `user_id` that the tables hold."""
NO_KEY = _("The user has no primary key: it is anonymous, deleted or not saved.")
FOREIGN_KEY = _("The key of a user must not begin with {guest} or {site}.")
LONG_KEY = _("The key of a user may have at most {number} characters.")


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or guest; `user` is the model instance, None for a guest.

    `user_id` is the primary key as a string, so it also fits UUID keys.
    """

    user_id: str
    username: str
    user: Any = None
    formerly: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Earlier `user_id`s of the same connection: their sanctions and limits stay with it."""

    @classmethod
    def of(cls, user: Any) -> Self:
        """The identity of a Django user; one that is known already is its own."""
        if isinstance(user, cls):
            return user
        return cls(str(user.pk), display_name(user), user)

    @property
    def user_ids(self) -> tuple[str, ...]:
        """The `user_id`, and the earlier ones of the connection."""
        return self.user_id, *self.formerly

    def after(self, before: Self) -> Self:
        """The same one on a connection that was somebody else before, or is renewed."""
        past = dict.fromkeys((*before.formerly, before.user_id))
        past.pop(self.user_id, None)
        return replace(self, formerly=tuple(past)) if past else self

    @property
    def is_guest(self) -> bool:
        """Whether there is no user behind it."""
        return self.user is None

    @property
    def user_pk(self) -> Any:
        """The user's primary key, None for a guest."""
        return None if self.user is None else self.user.pk


@dataclass(frozen=True, slots=True)
class Credential:
    """What an identity rests on, so that it can be asked whether that still holds.

    With nothing in it, it rests on the user alone.
    """

    session: str = field(default="", repr=False)
    """The key of a session."""
    session_digest: str = ""
    """What may be told of that login to other processes; a ticket knows no more of its session."""
    password: str = field(default="", repr=False)
    """A digest of the user's session hash, which changes with the password; empty: any will do."""
    token_id: str = ""
    """The id by which a token can be revoked."""
    expires_at: float | None = None
    """When it ends by itself, in seconds since the epoch."""

    def is_of_session(self, digest: str) -> bool:
        """Whether this is what is told of the login, or of its key by an older process."""
        return digest == self.session_digest or bool(
            self.session and digest == digest_of(self.session)
        )


class Authentication(NamedTuple):
    """Somebody who has said who they are, and what proves it."""

    who: Identity
    credential: Credential = Credential()


def fault_of_key(who: Identity, *, is_bounded: bool) -> str | Promise:
    """What is wrong with the primary key of a user; empty where nothing is, and for guests.

    `is_bounded` says whether the database keeps to the length of its columns, as SQLite does not.
    """
    if who.is_guest:
        return ""
    if who.user_pk is None:
        return NO_KEY
    if who.user_id.startswith((GUEST, SITE)):
        return format_lazy(FOREIGN_KEY, guest=repr(GUEST), site=repr(SITE))
    if is_bounded and len(who.user_id) > KEY_CHARACTERS:
        return format_lazy(LONG_KEY, number=KEY_CHARACTERS)
    return ""


def digest_of(secret: str) -> str:
    """A name for something secret and random, by which it cannot be found."""
    return blake2s(secret.encode(), digest_size=16, person=b"realtime").hexdigest()


def direct_key(one: str, other: str) -> str:
    """The key of the one direct room that two users have, whoever asks."""
    pair = "\0".join(sorted([one, other]))
    return blake2s(pair.encode(), digest_size=16).hexdigest()
