"""Revalidate the users of open connections: one query for each kind of row."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import router

from . import sessions, tokens
from .identity import Authentication, Credential, Identity
from .users import is_good, is_password_of, users_by_pk

__all__ = ["AccountStatus", "account_statuses", "is_known"]

PASSING = ("last_login", "password")
"""Fields of a user that change no rights; the password is checked separately."""
OF_MANY = ("groups", "user_permissions")
"""Relations of a user that change rights."""


class AccountStatus(NamedTuple):
    """The current user, and the facts on which its rights may depend, for a comparison."""

    identity: Identity
    facts: Any


def is_known(identity: Identity) -> bool:
    """Return whether the user is a row of the database.

    A guest is none, and middleware of the site may have built a user of its own."""
    user = identity.user
    return isinstance(user, get_user_model()) and not user._state.adding


def account_statuses(
    authentications: Mapping[str, Authentication],
) -> dict[str, AccountStatus | None]:
    """Return the current status of each authentication; None where its connection must end.

    One whose look-up failed is left out, so that an error closes no connection.
    """
    logins, users = _users_of(authentications)
    gone = tokens.revoked({one.credential.token_id for one in authentications.values()} - {""})
    found: dict[str, Any] = {}
    for name, (identity, credential) in authentications.items():
        user = logins.get(credential.session) if credential.session else users.get(identity.user_pk)
        if not isinstance(user, Exception):
            is_over = user is None or credential.token_id in gone or not _holds(user, credential)
            found[name] = None if is_over else user
    facts = _facts(user for user in found.values() if user is not None)
    return {
        name: None if user is None else _status(user, facts[user.pk])
        for name, user in found.items()
    }


def _status(user: Any, facts: list[Any]) -> AccountStatus:
    # In this thread, not on the event loop: the display name may need a query.
    identity = Identity.of(user)
    return AccountStatus(identity, [*facts, identity.username])


def _users_of(
    authentications: Mapping[str, Authentication],
) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return users by session key, and the users without a session by primary key."""
    keys = {one.credential.session for one in authentications.values()} - {""}
    others = {
        one.identity.user_pk for one in authentications.values() if not one.credential.session
    }
    if sessions.are_rows():
        return sessions.users_of(keys, others)
    return {key: _user_alone(key) for key in keys}, users_by_pk(others)


def _user_alone(key: str) -> Any:
    try:
        return sessions.user_of(key)
    except Exception as error:
        return error


def _holds(user: Any, credential: Credential) -> bool:
    if credential.expires_at is not None and credential.expires_at <= time.time():
        return False
    # The backend of a session has checked its user already.
    return bool(credential.session) or (is_good(user) and is_password_of(user, credential.password))


def _facts(users: Iterable[Any]) -> dict[Any, Any]:
    """Return the fields, groups and permissions of users, by primary key."""
    found = {user.pk: [_fields(user)] for user in users}
    for name in OF_MANY:
        many = _many(name, list(found))
        for pk, facts in found.items():
            facts.append(many.get(pk))
    return found


def _fields(user: Any) -> Any:
    fields = [field for field in user._meta.concrete_fields if field.name not in PASSING]
    deferred = user.get_deferred_fields()
    names = [field.attname for field in fields]
    # Not from `__dict__`: middleware may have put a lazy object into the scope.
    return [None if name in deferred else getattr(user, name) for name in names]


def _many(name: str, users: list[Any]) -> dict[Any, set[Any]]:
    """Return the keys that users have through a relation, which a site's user model may lack."""
    model = get_user_model()
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return {}
    if not users or not field.many_to_many:
        return {}
    through, own = field.remote_field.through, field.m2m_field_name()
    rows = through._default_manager.using(router.db_for_write(through))
    found: dict[Any, set[Any]] = {}
    for pk, other in rows.filter(**{f"{own}__in": users}).values_list(
        f"{own}_id", f"{field.m2m_reverse_field_name()}_id"
    ):
        found.setdefault(pk, set()).add(other)
    return found
