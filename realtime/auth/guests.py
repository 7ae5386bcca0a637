"""Guests: visitors without an account, who keep an identity by a signed token."""

import time
from collections.abc import Iterable
from hashlib import blake2s
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.core import signing
from django.utils.translation import gettext_lazy as _

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
    "revoke_all",
    "sign_in",
    "token_of",
    "unnamed",
]

SALT = "realtime.guest"
NAME_CHARACTERS = 40
NUMBERS = 100_000
"""The numbers of guests have six digits."""


class GuestToken(Authenticator):
    """Authenticates a returning guest by its token, if `GUESTS` is on."""

    async def afrom_token(self, token: str, db: Database) -> Authentication | None:
        """Read the guest from the token; the only query is whether it was revoked."""
        guest = read_token(token) if config().guests else None
        if guest is None or await db.load(tokens.revoked, guest.user_id):
            return None
        return sign_in(guest)


def sign_in(guest: Identity) -> Authentication:
    """Return the authentication of a guest; its `user_id` is the id of all its tokens."""
    return Authentication(guest, Credential(token_id=guest.user_id))


def revoke(user_id: str) -> None:
    """Revoke all tokens of a guest, and close its connections.

    It takes effect once the transaction commits. `user_id` is the guest's, as in its messages.
    Raises `ValueError` for one that no guest has.
    """
    revoke_all([user_id])


def revoke_all(user_ids: Iterable[str]) -> None:
    """Revoke all tokens of guests as `revoke` does, by one query."""
    found = list(user_ids)
    if not all(one.startswith(GUEST) for one in found):
        raise ValueError(f"the user_id of a guest starts with {GUEST}")
    # No token is valid for longer, and a revoked guest gets no new one.
    changes.revoke_all(found, time.time() + config().guest_seconds)


async def arevoke(user_id: str) -> None:
    """Revoke all tokens of a guest, and close its connections."""
    await sync_to_async(revoke)(user_id)


def new_guest() -> Identity:
    """Return a guest with a new `user_id`."""
    return unnamed(GUEST + uuid4().hex)


def unnamed(user_id: str) -> Identity:
    """Return a guest without a chosen name: its number is derived from its `user_id`."""
    digest = blake2s(user_id.encode(), digest_size=8).digest()
    number = int.from_bytes(digest) % (9 * NUMBERS) + NUMBERS
    return Identity(user_id, f"{GUEST_NAME} {number}")


def renamed(guest: Identity, name: str) -> Identity:
    """Return the same guest with another name.

    Raises `ValueError` if nothing visible is left of the name.
    """
    cleaned = clean_name(name)
    if not is_visible(cleaned):
        raise ValueError(_("A name needs a letter, a number or a symbol."))
    return Identity(guest.user_id, cleaned)


def clean_name(name: str) -> str:
    """Clean a name as `wire.looks.clean_line` does; it has at most 40 characters."""
    return clean_line(name, NAME_CHARACTERS)


def token_of(guest: Identity) -> str:
    """Return the token by which the guest can return."""
    return signing.dumps([guest.user_id, guest.username], salt=SALT)


def read_token(token: str) -> Identity | None:
    """Return the guest of a token; None for any other text, and after `GUEST_SECONDS`.

    Each connection gives a guest a new token, so the time counts from its last visit.
    """
    try:
        user_id, username = signing.loads(token, salt=SALT, max_age=config().guest_seconds)
    except (signing.BadSignature, ValueError):
        return None
    return Identity(user_id, username)
