"""The users of sessions, for many handshakes with one query each for sessions and for users.

Only where Django's own code would ask the database for just that; any other session engine or
backend is asked one by one. The rules are those of `django.contrib.auth.get_user`.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone
from django.utils.crypto import constant_time_compare

__all__ = ["users_of"]

KEY_CHARACTERS = 40
"""What Django's table of sessions holds of a key."""


def users_of(keys: Iterable[str]) -> dict[str, Any]:
    """The users that are logged in by these session keys; other keys are left out."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    sane = [key for key in keys if _is_sane(key)]
    if store.load is not DatabaseStore.load:
        found = iter([(key, _user_of(store(key))) for key in sane])
    else:
        found = _users_of(_sessions(store, sane))
    return {key: user for key, user in found if user is not None and user.is_authenticated}


def _is_sane(key: str) -> bool:
    """A key with NUL, or a longer one than there is, would fail the query for all."""
    return len(key) <= KEY_CHARACTERS and key.isascii() and key.isprintable()


def _sessions(store: Any, keys: list[str]) -> dict[str, Any]:
    rows = store.get_model_class().objects.filter(
        session_key__in=keys, expire_date__gt=timezone.now()
    )
    sessions = {row.session_key: store(row.session_key) for row in rows}
    for row in rows:
        sessions[row.session_key]._session_cache = store().decode(row.session_data)
    return sessions


def _users_of(sessions: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    users = _users(session[auth.SESSION_KEY] for session in sessions.values() if _is_plain(session))
    for key, session in sessions.items():
        user = users.get(session.get(auth.SESSION_KEY)) if _is_plain(session) else None
        # Django's own code judges whatever is not simply so: old secrets, users that are gone.
        yield key, user if _is_verified(session, user) else _user_of(session)


def _is_plain(session: Any) -> bool:
    """Whether its user is found by primary key alone."""
    path = session.get(auth.BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or auth.SESSION_KEY not in session:
        return False
    return type(auth.load_backend(path)).get_user is ModelBackend.get_user


def _users(keys: Iterable[Any]) -> dict[Any, Any]:
    """Users by what sessions call them."""
    primary_key = auth.get_user_model()._meta.pk
    wanted = {key: primary_key.to_python(key) for key in keys}
    found = auth.get_user_model()._default_manager.in_bulk(list(set(wanted.values())))
    return {key: found.get(value) for key, value in wanted.items()}


def _is_verified(session: Any, user: Any) -> bool:
    backend = auth.load_backend(session[auth.BACKEND_SESSION_KEY]) if user is not None else None
    if not isinstance(backend, ModelBackend) or not backend.user_can_authenticate(user):
        return False
    told = session.get(auth.HASH_SESSION_KEY)
    return bool(told) and constant_time_compare(told, user.get_session_auth_hash())


def _user_of(session: Any) -> Any:
    return auth.get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
