"""Guests: people without an account who keep an identity by a signed token."""

import secrets
import unicodedata
from uuid import uuid4

from django.core import signing
from django.utils.translation import gettext

from ..conf import config
from ..engine.db import Database
from ..store.identity import GUEST, Identity
from .authenticator import Authenticator, SignIn

__all__ = ["GuestToken", "clean_name", "new_guest", "read_token", "renamed", "token_of"]

SALT = "realtime.guest"
NAME_CHARACTERS = 40


class GuestToken(Authenticator):
    """Lets a guest be the same one again, where `GUESTS` are welcome."""

    async def afrom_token(self, token: str, db: Database) -> SignIn | None:
        """Nothing is asked: the name is in the token."""
        guest = read_token(token) if config().guests else None
        return None if guest is None else SignIn(guest)


def new_guest() -> Identity:
    """Somebody nobody has seen before."""
    name = gettext("Guest %(number)s") % {"number": secrets.randbelow(9000) + 1000}
    return Identity(GUEST + uuid4().hex, name)


def renamed(guest: Identity, name: str) -> Identity:
    """The same guest by another name.

    Raises `ValueError` where nothing that can be shown is left of the name.
    """
    cleaned = clean_name(name)
    if not cleaned:
        raise ValueError("a name must have letters")
    return Identity(guest.user_id, cleaned)


def clean_name(name: str) -> str:
    """A name on one line, at most 40 characters, without control or direction marks."""
    visible = "".join(
        character
        for character in unicodedata.normalize("NFC", name)
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    return " ".join(visible.split())[:NAME_CHARACTERS].strip()


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
