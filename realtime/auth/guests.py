"""Guests: people without an account who keep an identity by a signed token."""

import time
from hashlib import blake2s
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.core import signing

from ..conf import config
from ..engine.database.executor import Database
from ..store.accounts import tokens
from ..store.accounts.identity import GUEST, GUEST_NAME, Credential, Identity
from ..wire.looks import clean_line, is_visible
from . import changes
from .authenticator import Authentication, Authenticator

__all__ = [
    "GuestToken",
    "arevoke",
    "clean_name",
    "new_guest",
    "read_token",
    "renamed",
    "revoke",
    "sign_in",
    "token_of",
    "unnamed",
]

SALT = "realtime.guest"
NAME_CHARACTERS = 40
NUMBERS = 100_000
"""Guests' numbers have six digits."""


class GuestToken(Authenticator):
    """Lets a guest be the same one again, where `GUESTS` are welcome."""

    async def afrom_token(self, token: str, db: Database) -> Authentication | None:
        """The name is in the token; it is asked only whether the guest has been revoked."""
        guest = read_token(token) if config().guests else None
        if guest is None or await db.load(tokens.revoked, guest.user_id):
            return None
        return sign_in(guest)


def sign_in(guest: Identity) -> Authentication:
    """Make the sign-in of a guest, whose tokens are revoked by its `user_id`."""
    return Authentication(guest, Credential(token_id=guest.user_id))


def revoke(user_id: str) -> None:
    """Revoke all tokens of a guest, and end its connections.

    It takes effect once the transaction commits. `user_id` is the guest's, as in its messages.
    Raises `ValueError` for one that no guest has.
    """
    if not user_id.startswith(GUEST):
        raise ValueError(f"the user_id of a guest starts with {GUEST}")
    # No guest is remembered for longer, and none that has been revoked is given another token.
    changes.revoke(user_id, time.time() + config().guest_seconds)


async def arevoke(user_id: str) -> None:
    """Revoke all tokens of a guest, and end its connections."""
    await sync_to_async(revoke)(user_id)


def new_guest() -> Identity:
    """Somebody nobody has seen before."""
    return unnamed(GUEST + uuid4().hex)


def unnamed(user_id: str) -> Identity:
    """A guest without a name of its own: it is called by a number that follows from its id."""
    digest = blake2s(user_id.encode(), digest_size=8).digest()
    number = int.from_bytes(digest) % (9 * NUMBERS) + NUMBERS
    return Identity(user_id, f"{GUEST_NAME} {number}")


def renamed(guest: Identity, name: str) -> Identity:
    """The same guest by another name.

    Raises `ValueError` where nothing that can be shown is left of the name.
    """
    cleaned = clean_name(name)
    if not is_visible(cleaned):
        raise ValueError("a name needs a letter, a number or a symbol")
    return Identity(guest.user_id, cleaned)


def clean_name(name: str) -> str:
    """Clean a name as `wire.looks.clean_line` does; it has at most 40 characters."""
    return clean_line(name, NAME_CHARACTERS)


def token_of(guest: Identity) -> str:
    """What the guest sends to be the same one next time."""
    return signing.dumps([guest.user_id, guest.username], salt=SALT)


def read_token(token: str) -> Identity | None:
    """The guest a token was made for; None for anything else, and after `GUEST_SECONDS`.

    Each connection gives a guest a new one, so that only who stays away is forgotten.
    """
    try:
        user_id, username = signing.loads(token, salt=SALT, max_age=config().guest_seconds)
    except (signing.BadSignature, ValueError):
        return None
    return Identity(user_id, username)
