"""Load users, many with one query, from the primary database."""

import re
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from ...wire.errors import CommandError, ErrorCode
from .identity import GUEST

__all__ = [
    "any_user",
    "canonical",
    "is_good",
    "is_password_of",
    "is_staff_with",
    "key_of",
    "password_of",
    "pk_of",
    "unknown_user",
    "users_by",
    "users_by_pk",
]

TEXT_CHARACTERS = 255
GUEST_ID = re.compile(GUEST + r"[0-9A-Za-z_-]{1,100}")


def users_by_pk(keys: Iterable[Any]) -> dict[Any, Any]:
    """Return users by primary key; keys without a user are left out."""
    wanted = list(keys)
    return _users().in_bulk(wanted) if wanted else {}


def any_user(pk: Any) -> Any:
    """Return a user, also one that the default manager hides; None if there is no such row."""
    model = get_user_model()
    return model._base_manager.using(router.db_for_write(model)).filter(pk=pk).first()


def users_by(pairs: Iterable[tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    """Return users by field name and value; values of no user, or of several, are left out."""
    fields: dict[str, dict[Any, tuple[str, Any]]] = {}
    for name, value in pairs:
        cleaned = _cleaned(name, value)
        if cleaned is not None:
            fields.setdefault(name, {})[cleaned] = name, value
    found: dict[tuple[str, Any], Any] = {}
    for name, keys in fields.items():
        found |= _only_ones(name, keys)
    return found


def is_staff_with(user: Any, permission: str) -> bool:
    """Return whether a user is active staff with a permission; False for None."""
    return bool(user is not None and user.is_active and user.is_staff and user.has_perm(permission))


def pk_of(text: str) -> Any:
    """Return the primary key that a text stands for, or None if it cannot be one."""
    return _cleaned("pk", text)


def canonical(user_id: str) -> str | None:
    """Return the canonical spelling of a `user_id`, or None for what cannot be one.

    Whether the user exists is not checked.
    """
    if user_id.startswith(GUEST):
        return user_id if GUEST_ID.fullmatch(user_id) else None
    pk = pk_of(user_id)
    return None if pk is None else str(pk)


def key_of(user: Any) -> str:
    """Return the canonical `user_id` of a user, a primary key or a `user_id`.

    Whether the user exists is not checked. Raises `CommandError` with `unknown_user` for an
    invalid one.
    """
    key = str(user.pk) if hasattr(user, "pk") else canonical(str(user))
    if key is None:
        raise unknown_user()
    return key


def unknown_user() -> CommandError:
    """Return the error for a user that does not exist, or that the client may not know of."""
    return CommandError(ErrorCode.UNKNOWN_USER, _("There is no such user."))


def is_good(user: Any) -> bool:
    """Return whether the account of a user is active."""
    return bool(getattr(user, "is_active", True))


def password_of(user: Any) -> str:
    """Return a digest that changes with the user's password; empty if the user has none."""
    return _digest(user.get_session_auth_hash()) if hasattr(user, "get_session_auth_hash") else ""


def is_password_of(user: Any, digest: str) -> bool:
    """Return whether the password is still that of an earlier digest of `password_of`."""
    if not digest or not hasattr(user, "get_session_auth_hash"):
        return not digest
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return digest in [_digest(one) for one in hashes]


def _digest(text: str) -> str:
    # Without SECRET_KEY: replacing it must not close all connections.
    return salted_hmac("realtime.password", text, secret="", algorithm="sha256").hexdigest()[:32]


def _only_ones(name: str, keys: dict[Any, tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    users: dict[tuple[str, Any], list[Any]] = {}
    for user in _users().filter(**{f"{name}__in": list(keys)}):
        # A database that ignores case may return another user.
        if pair := keys.get(user.pk if name == "pk" else getattr(user, name)):
            users.setdefault(pair, []).append(user)
    return {pair: found[0] for pair, found in users.items() if len(found) == 1}


def _cleaned(name: str, value: Any) -> Any:
    """Return the value as the field stores it, or None if the field cannot have it."""
    meta = get_user_model()._meta
    field: Any = meta.pk if name == "pk" else meta.get_field(name)
    if isinstance(value, str) and (len(value) > TEXT_CHARACTERS or "\0" in value):
        return None
    try:
        cleaned = field.to_python(value)
        field.run_validators(cleaned)
    except (ValidationError, OverflowError, TypeError, ValueError):
        return None
    return cleaned


def _users() -> Any:
    model = get_user_model()
    return model._default_manager.using(router.db_for_write(model))
