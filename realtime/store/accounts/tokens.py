"""Tokens that are not taken any more: used up, or revoked; kept while they would be good."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from ...models import RevokedToken
from ..database.alias import database

__all__ = ["forget_expired", "revoke", "revoked", "session_id", "use_once"]

SKEW = timedelta(minutes=5)
"""How far the clocks of two hosts may be apart: what one has forgotten no other may still take."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
CHARACTERS = 255


def session_id(digest: str) -> str:
    """The id by which all that rests on a session without knowing its key is revoked."""
    return f"session:{digest}"


def use_once(token_id: str, expires_at: float) -> bool:
    """Use a token up; False if somebody has, in whatever process."""
    try:
        with transaction.atomic(using=database()):
            _rows().create(jti=token_id, expires_at=_moment(expires_at))
    except IntegrityError:
        return False
    return True


def revoke(token_id: str, expires_at: float) -> None:
    """Take a token no more; `expires_at` is when it ends by itself."""
    row = {"expires_at": _moment(expires_at)}
    _rows().update_or_create(jti=token_id, defaults=row)


def revoked(token_ids: Iterable[str]) -> dict[str, bool]:
    """Which of these are not taken any more, in one query."""
    wanted = [one for one in token_ids if len(one) <= CHARACTERS and "\0" not in one]
    if not wanted:
        return {}
    found = _rows().filter(jti__in=wanted).values_list("jti", flat=True)
    return dict.fromkeys(found, True)


def forget_expired() -> None:
    """Remove what has ended by itself."""
    _rows().filter(expires_at__lt=timezone.now() - SKEW).delete()


def _moment(seconds: float) -> datetime:
    try:
        moment = min(datetime.fromtimestamp(seconds, UTC), NEVER)
    except (OverflowError, ValueError):
        moment = NEVER
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def _rows() -> Any:
    return RevokedToken.objects.using(database())
