"""Used and revoked tokens, kept for as long as they would otherwise be valid."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from ...models import RevokedToken
from ..database.alias import database

__all__ = ["delete_expired", "revoke", "revoke_all", "revoked", "session_id", "use_once"]

SKEW = timedelta(minutes=5)
"""Maximum clock skew: rows are kept this long after their end, so that no host accepts a token
whose row another host has deleted."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
CHARACTERS = 255


def session_id(digest: str) -> str:
    """Return the token id that revokes all credentials of a session, also those without its key."""
    return f"session:{digest}"


def use_once(token_id: str, expires_at: float) -> bool:
    """Mark a token as used; return False if it was used before, in any process."""
    try:
        with transaction.atomic(using=database()):
            _rows().create(jti=token_id, expires_at=_moment(expires_at))
    except IntegrityError:
        return False
    return True


def revoke(token_id: str, expires_at: float) -> None:
    """Revoke a token; `expires_at` is when it expires anyway, in seconds since the epoch."""
    revoke_all([token_id], expires_at)


def revoke_all(token_ids: Iterable[str], expires_at: float) -> None:
    """Revoke tokens that all expire at a time, by one query."""
    moment = _moment(expires_at)
    _rows().bulk_create(
        [RevokedToken(jti=one, expires_at=moment) for one in sorted(set(token_ids))],
        update_conflicts=True,
        unique_fields=["jti"],
        update_fields=["expires_at"],
    )


def revoked(token_ids: Iterable[str]) -> dict[str, bool]:
    """Return those of these tokens that are used or revoked, in one query."""
    wanted = [one for one in token_ids if len(one) <= CHARACTERS and "\0" not in one]
    if not wanted:
        return {}
    found = _rows().filter(jti__in=wanted).values_list("jti", flat=True)
    return dict.fromkeys(found, True)


def delete_expired() -> None:
    """Delete the rows of tokens that have expired."""
    _rows().filter(expires_at__lt=timezone.now() - SKEW).delete()


def _moment(seconds: float) -> datetime:
    try:
        moment = min(datetime.fromtimestamp(seconds, UTC), NEVER)
    except (OverflowError, ValueError):
        moment = NEVER
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def _rows() -> Any:
    return RevokedToken.objects.using(database())
