"""The keyed digest that replaces the nonce of a deleted message, so that a repeat is found.

A client may have put any text into a nonce, so it is deleted with the message. With the digest, the
same message sent again is still not stored a second time (deduplication).
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2s

from django.conf import settings

from ..logs import MADE_NONCE

__all__ = ["may_be_spent_as", "spent"]


def spent(room_id: int, sender: str, nonce: str) -> str:
    """Return the digest that replaces a nonce when its message is deleted."""
    if nonce.startswith(MADE_NONCE):
        return nonce  # made by the server, or already replaced
    return _digest(_keys()[0], room_id, sender, nonce)


def may_be_spent_as(room_id: int, sender: str, nonce: str) -> list[str]:
    """Return the digests that may have replaced a nonce: one for each secret key."""
    if nonce.startswith(MADE_NONCE):
        return []
    return [_digest(key, room_id, sender, nonce) for key in _keys()]


def _digest(key: bytes, room_id: int, sender: str, nonce: str) -> str:
    text = f"{room_id}\0{sender}\0{nonce}".encode("utf-8", "surrogatepass")
    return MADE_NONCE + blake2s(text, key=key, digest_size=16).hexdigest()


def _keys() -> Sequence[bytes]:
    return _derived(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=8)
def _derived(*secrets: str | bytes) -> Sequence[bytes]:
    return [_key(secret) for secret in secrets]


def _key(secret: str | bytes) -> bytes:
    raw = secret.encode() if isinstance(secret, str) else secret
    return blake2s(raw, person=b"nonces").digest()
