"""A user or guest in the protocol, and the credential that proves it."""

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
"""The prefix of the `user_id` of guests."""
GUEST_NAME = "Guest"
"""The start of the name that the server gives to a guest; a number follows."""
SITE = "site:"
"""The prefix of the `user_id` of messages from the site itself."""
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
        """Return the identity of a Django user; an identity is returned as it is."""
        if isinstance(user, cls):
            return user
        return cls(str(user.pk), display_name(user), user)

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Return the `user_id`, and the earlier ones of the connection."""
        return self.user_id, *self.formerly

    def after(self, before: Self) -> Self:
        """Return this identity, with the earlier `user_id`s of its connection."""
        past = dict.fromkeys((*before.formerly, before.user_id))
        past.pop(self.user_id, None)
        return replace(self, formerly=tuple(past)) if past else self

    @property
    def is_guest(self) -> bool:
        """Return whether this is a guest, which has no user."""
        return self.user is None

    @property
    def user_pk(self) -> Any:
        """Return the primary key of the user, or None for a guest."""
        return None if self.user is None else self.user.pk


@dataclass(frozen=True, slots=True)
class Credential:
    """The proof of an identity, which is revalidated while the connection is open.

    An empty one is valid as long as the user is.
    """

    session: str = field(default="", repr=False)
    """The key of a session."""
    session_digest: str = ""
    """The name of that login in notes between processes; a ticket holds this, not the key."""
    password: str = field(default="", repr=False)
    """A digest of the user's session hash, which changes with the password; empty for no check."""
    token_id: str = ""
    """The id by which a token can be revoked."""
    expires_at: float | None = None
    """When it expires, in seconds since the epoch."""

    def is_of_session(self, digest: str) -> bool:
        """Return whether a note with this digest means the session of this credential.

        Processes of an older release send the digest of the session key.
        """
        return digest == self.session_digest or bool(
            self.session and digest == digest_of(self.session)
        )


class Authentication(NamedTuple):
    """A verified identity with its credential."""

    identity: Identity
    credential: Credential = Credential()


def fault_of_key(identity: Identity, *, is_bounded: bool) -> str | Promise:
    """Return why the primary key of a user is refused; empty if it is accepted, and for guests.

    `is_bounded`: whether the database enforces the length of columns, which SQLite does not.
    """
    if identity.is_guest:
        return ""
    if identity.user_pk is None:
        return NO_KEY
    if identity.user_id.startswith((GUEST, SITE)):
        return format_lazy(FOREIGN_KEY, guest=repr(GUEST), site=repr(SITE))
    if is_bounded and len(identity.user_id) > KEY_CHARACTERS:
        return format_lazy(LONG_KEY, number=KEY_CHARACTERS)
    return ""


def digest_of(secret: str) -> str:
    """Return a digest that identifies a random secret without revealing it."""
    return blake2s(secret.encode(), digest_size=16, person=b"realtime").hexdigest()


def direct_key(one: str, other: str) -> str:
    """Return the key of the direct room of two users, in either order."""
    pair = "\0".join(sorted([one, other]))
    return blake2s(pair.encode(), digest_size=16).hexdigest()
