"""Load the users of sessions: for many handshakes, one query for sessions and one for users.

That needs Django's database sessions, and a backend that loads users as `ModelBackend` does.
Other sessions are loaded one by one. The rules are those of `django.contrib.auth.get_user`, except
that nothing is written: a new session key would need a cookie, which a handshake cannot set.
"""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.db import router
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from . import tokens
from .identity import Credential, digest_of
from .users import users_by_pk

__all__ = [
    "SessionLogin",
    "are_rows",
    "credential_of",
    "digests_of",
    "key_of",
    "login_of",
    "logins_of",
    "mark",
    "user_of",
    "users_of",
]

LOGIN = "_realtime_login"
"""The session's entry for a random id, which stays when the session gets another key or cookie."""
KEY_CHARACTERS = 40
"""The longest key that Django's table of sessions holds."""


def are_rows() -> bool:
    """Return whether sessions are rows of Django's table, so that one query loads many."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return bool(store is DatabaseStore)


class SessionLogin(NamedTuple):
    """The user that a session has logged in, with the credential."""

    user: Any
    credential: Credential


def mark(session: Any) -> None:
    """Give a session that will be saved the id of its login, unless it has one."""
    session.setdefault(LOGIN, secrets.token_hex(16))


def credential_of(session: Any) -> Credential:
    """Return the credential of a login by this session.

    A session in a signed cookie is not stored on the server, so its logout is stored as a
    revoked token.
    """
    key, digest = str(session.session_key), digests_of(session)[0]
    is_kept = _is_cookie(session) and bool(session.get(LOGIN))
    return Credential(
        session=key,
        session_digest=digest,
        token_id=tokens.session_id(digest) if is_kept else "",
    )


def digests_of(session: Any) -> list[str]:
    """Return all digests by which other processes may know this login, the best one first.

    They are made of the id of the login and, for older sessions, of the key. A signed cookie
    changes with each page; without an id, the user and the password stand for it.
    """
    found = [digest_of(session[LOGIN])] if session.get(LOGIN) else []
    if _is_cookie(session):
        user, password = session.get(auth.SESSION_KEY), session.get(auth.HASH_SESSION_KEY)
        found.append(digest_of(f"{user} {password}"))
    return [*found, digest_of(str(session.session_key))]


def user_of(key: str) -> Any:
    """Return the user of a session key, or None; for any session store."""
    found = login_of(key)
    return None if found is None else found.user


def login_of(key: str) -> SessionLogin | None:
    """Return the login of a session key, or None; for any session store."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = _verified(session, None)
    if isinstance(user, Exception):
        raise user
    if user is None:
        return None
    found = SessionLogin(user, credential_of(session))
    is_over = bool(found.credential.token_id) and tokens.revoked([found.credential.token_id])
    return None if is_over else found


def logins_of(keys: Iterable[str]) -> dict[str, Any]:
    """Return the logins of session keys, if `are_rows()`; keys without a login are left out.

    An error in one of them is returned in its place, so that it does not affect the others.
    """
    sessions = _loaded(key for key in keys if _is_sane(key))
    found = _users_of(sessions, [])[0]
    return {
        key: user
        if isinstance(user, Exception)
        else SessionLogin(user, credential_of(sessions[key]))
        for key, user in found.items()
    }


def users_of(keys: Iterable[str], pks: Iterable[Any]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return the users of session keys, if `are_rows()`, and users by primary key, in two queries.

    Keys without a login are left out. An error in one of them is returned in its place, so that
    it does not affect the others.
    """
    return _users_of(_loaded(key for key in keys if _is_sane(key)), pks)


def _users_of(
    sessions: dict[str, Any], pks: Iterable[Any]
) -> tuple[dict[str, Any], dict[Any, Any]]:
    wanted = _wanted(sessions)
    users = users_by_pk({*wanted.values(), *pks})
    found = {key: _verified(one, users.get(wanted.get(key))) for key, one in sessions.items()}
    return {key: user for key, user in found.items() if user is not None}, users


def key_of(cookies: dict[str, str]) -> str:
    """Return the session key among the cookies of a browser, or an empty string."""
    return str(cookies.get(settings.SESSION_COOKIE_NAME, ""))


def _is_cookie(session: Any) -> bool:
    return isinstance(session, CookieStore)


def _is_sane(key: str) -> bool:
    """Exclude keys that no session has: one with NUL would fail the query for all."""
    return len(key) <= KEY_CHARACTERS and key.isascii() and key.isprintable()


def _loaded(keys: Iterable[str]) -> dict[str, Any]:
    """Return the sessions that have not expired, with their data."""
    wanted = list(keys)
    if not wanted:
        return {}
    # From the primary database: a replica may not have a logout yet.
    rows = _rows().filter(session_key__in=wanted)
    sessions = {}
    for row in rows.filter(expire_date__gt=timezone.now()):
        session = sessions[row.session_key] = DatabaseStore(row.session_key)
        session._session_cache = session.decode(row.session_data)  # type: ignore[attr-defined]
    return sessions


def _wanted(sessions: dict[str, Any]) -> dict[str, Any]:
    """Return the user keys of those sessions whose backend loads users by primary key alone."""
    primary_key = auth.get_user_model()._meta.pk
    wanted = {}
    for key, session in sessions.items():
        with suppress(Exception):  # Django's own code reports the error
            if _is_plain(session):
                wanted[key] = primary_key.to_python(session[auth.SESSION_KEY])
    return wanted


def _is_plain(session: Any) -> bool:
    path = session.get(auth.BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or auth.SESSION_KEY not in session:
        return False
    return type(auth.load_backend(path)).get_user is ModelBackend.get_user


def _verified(session: Any, user: Any) -> Any:
    """Return the user of a session, None without one, or the exception of the look-up."""
    try:
        if user is None or not _is_verified(session, user):
            # Django's own code decides all other cases: other backends, missing users.
            session.cycle_key = _keep_key
            user = auth.get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
        return user if user is not None and user.is_authenticated else None
    except Exception as error:
        return error


def _is_verified(session: Any, user: Any) -> bool:
    backend = auth.load_backend(session[auth.BACKEND_SESSION_KEY])
    if not isinstance(backend, ModelBackend) or not backend.user_can_authenticate(user):
        return False
    stored = session.get(auth.HASH_SESSION_KEY) or ""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(stored, known) for known in hashes)


def _keep_key() -> None:
    """Replace `cycle_key`, with which Django renews a session that an old secret has signed."""


def _rows() -> QuerySet[Any]:
    # Loaded here, because a site with another session store may lack the app.
    model = DatabaseStore.get_model_class()
    return model.objects.using(router.db_for_write(model))
