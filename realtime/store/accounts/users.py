"""Finding users, many with one query, in the database that is written."""

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
    "canonical",
    "is_good",
    "is_password_of",
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
    """Users by primary key; those that do not exist are left out."""
    wanted = list(keys)
    return _users().in_bulk(wanted) if wanted else {}


def users_by(asked: Iterable[tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    """Users by a field's name and its value; without those that none has, or more than one."""
    fields: dict[str, dict[Any, tuple[str, Any]]] = {}
    for name, value in asked:
        cleaned = _cleaned(name, value)
        if cleaned is not None:
            fields.setdefault(name, {})[cleaned] = name, value
    found: dict[tuple[str, Any], Any] = {}
    for name, keys in fields.items():
        found |= _only_ones(name, keys)
    return found


def pk_of(text: str) -> Any:
    """The primary key that a text stands for; None for what cannot be one."""
    return _cleaned("pk", text)


def canonical(user_id: str) -> str | None:
    """Return the one spelling of a `user_id`, or None for what cannot be one.

    Whether there is such a user is not asked.
    """
    if user_id.startswith(GUEST):
        return user_id if GUEST_ID.fullmatch(user_id) else None
    pk = pk_of(user_id)
    return None if pk is None else str(pk)


def key_of(user: Any) -> str:
    """Return the `user_id` of a user, of its primary key, or of a `user_id` in its one spelling.

    Whether there is such a user is not asked. Raises `CommandError` with `unknown_user` for what
    cannot be one.
    """
    key = str(user.pk) if hasattr(user, "pk") else canonical(str(user))
    if key is None:
        raise unknown_user()
    return key


def unknown_user() -> CommandError:
    """The refusal for a user who does not exist, or not for whoever asks."""
    return CommandError(ErrorCode.UNKNOWN_USER, _("There is no such user."))


def is_good(user: Any) -> bool:
    """Whether a user may be here at all."""
    return bool(getattr(user, "is_active", True))


def password_of(user: Any) -> str:
    """What changes with the user's password, and tells nothing of it; empty if there is none."""
    return _digest(user.get_session_auth_hash()) if hasattr(user, "get_session_auth_hash") else ""


def is_password_of(user: Any, told: str) -> bool:
    """Whether a password is still the one of which `password_of` told."""
    if not told or not hasattr(user, "get_session_auth_hash"):
        return not told
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return told in [_digest(one) for one in hashes]


def _digest(text: str) -> str:
    # Not by SECRET_KEY alone: a key that is replaced must not end everybody.
    return salted_hmac("realtime.password", text, secret="", algorithm="sha256").hexdigest()[:32]


def _only_ones(name: str, keys: dict[Any, tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    users: dict[tuple[str, Any], list[Any]] = {}
    for user in _users().filter(**{f"{name}__in": list(keys)}):
        # A database that takes A for a may find somebody else.
        if asked := keys.get(user.pk if name == "pk" else getattr(user, name)):
            users.setdefault(asked, []).append(user)
    return {asked: found[0] for asked, found in users.items() if len(found) == 1}


def _cleaned(name: str, value: Any) -> Any:
    """The value as the field has it; None for what it cannot be."""
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
