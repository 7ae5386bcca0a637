"""Whether those who are connected may still be: a query a kind, however many they are."""

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
"""Fields of a user that change nobody's rights; the password is judged by itself."""
OF_MANY = ("groups", "user_permissions")


class AccountStatus(NamedTuple):
    """The user as the database has it now, and what its rights may rest on, to be compared."""

    who: Identity
    facts: Any


def is_known(who: Identity) -> bool:
    """Whether the database knows them: guests it does not, nor what other middleware made up."""
    user = who.user
    return isinstance(user, get_user_model()) and not user._state.adding


def account_statuses(asked: Mapping[str, Authentication]) -> dict[str, AccountStatus | None]:
    """How those who signed in stand now; None for whoever may not go on.

    Whoever cannot be judged, because asking failed, is left out: that ends nobody.
    """
    logins, users = _users_of(asked)
    gone = tokens.revoked({one.credential.token_id for one in asked.values()} - {""})
    found: dict[str, Any] = {}
    for name, (who, credential) in asked.items():
        user = logins.get(credential.session) if credential.session else users.get(who.user_pk)
        if not isinstance(user, Exception):
            is_over = user is None or credential.token_id in gone or not _holds(user, credential)
            found[name] = None if is_over else user
    facts = _facts(user for user in found.values() if user is not None)
    return {
        name: None if user is None else _standing(user, facts[user.pk])
        for name, user in found.items()
    }


def _standing(user: Any, facts: list[Any]) -> AccountStatus:
    # Here and not on the event loop: the name may be asked for in other tables.
    who = Identity.of(user)
    return AccountStatus(who, [*facts, who.username])


def _users_of(asked: Mapping[str, Authentication]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """The users of sessions by the session's key, and the others by their own."""
    keys = {one.credential.session for one in asked.values()} - {""}
    others = {one.who.user_pk for one in asked.values() if not one.credential.session}
    if sessions.are_rows():
        return sessions.users_of_and(keys, others)
    return {key: _asked_alone(key) for key in keys}, users_by_pk(others)


def _asked_alone(key: str) -> Any:
    try:
        return sessions.user_of(key)
    except Exception as error:
        return error


def _holds(user: Any, credential: Credential) -> bool:
    if credential.expires_at is not None and credential.expires_at <= time.time():
        return False
    # A session's own backend has judged its user.
    return bool(credential.session) or (is_good(user) and is_password_of(user, credential.password))


def _facts(users: Iterable[Any]) -> dict[Any, Any]:
    """By primary key: a user's own fields, groups and permissions."""
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
    # Not from `__dict__`: what other middleware puts into a scope may be lazy.
    return [None if name in deferred else getattr(user, name) for name in names]


def _many(name: str, users: list[Any]) -> dict[Any, set[Any]]:
    """What users have through a relation of that name, which another user model may lack."""
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
