"""The users of sessions, for many handshakes with one query each for sessions and for users.

Only with Django's own database sessions and a backend that finds users as Django's does; any other
is asked one by one. The rules are those of `django.contrib.auth.get_user`, but nothing is written:
a session that gets another key would need a cookie, which a handshake cannot set.
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
    "Login",
    "are_rows",
    "digests_of",
    "key_of",
    "login_of",
    "logins_of",
    "mark",
    "proof_of",
    "user_of",
    "users_of",
]

LOGIN = "_realtime_login"
"""The key in a session of a random id, which stays when the session gets another key or cookie."""
KEY_CHARACTERS = 40
"""What Django's table of sessions holds of a key."""


def are_rows() -> bool:
    """Whether sessions are rows of Django's own table, so that one query finds many."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return bool(store is DatabaseStore)


class Login(NamedTuple):
    """Who is logged in by a session, and what proves it."""

    user: Any
    credential: Credential


def mark(session: Any) -> None:
    """Give a session that is about to be saved the id of its login, unless it has one."""
    session.setdefault(LOGIN, secrets.token_hex(16))


def proof_of(session: Any) -> Credential:
    """What a login by this session rests on.

    Nothing but the cookie knows of a session that is kept in it, so its logout is kept with the
    revoked tokens.
    """
    key, digest = str(session.session_key), digests_of(session)[0]
    is_kept = _is_cookie(session) and bool(session.get(LOGIN))
    return Credential(
        session=key,
        session_digest=digest,
        token_id=tokens.session_id(digest) if is_kept else "",
    )


def digests_of(session: Any) -> list[str]:
    """All that a login by this session may be known by to other processes, the best one first.

    Its id; its key, for older sessions; and of a cookie without an id, which changes with each
    page, the user and the password.
    """
    found = [digest_of(session[LOGIN])] if session.get(LOGIN) else []
    if _is_cookie(session):
        user, password = session.get(auth.SESSION_KEY), session.get(auth.HASH_SESSION_KEY)
        found.append(digest_of(f"{user} {password}"))
    return [*found, digest_of(str(session.session_key))]


def user_of(key: str) -> Any:
    """The user that is logged in by this session key, None if there is none; for any store."""
    found = login_of(key)
    return None if found is None else found.user


def login_of(key: str) -> Login | None:
    """The login of this session key, None if there is none; for any store."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = _verified(session, None)
    if isinstance(user, Exception):
        raise user
    if user is None:
        return None
    found = Login(user, proof_of(session))
    is_over = bool(found.credential.token_id) and tokens.revoked([found.credential.token_id])
    return None if is_over else found


def logins_of(keys: Iterable[str]) -> dict[str, Any]:
    """The logins of these session keys, where `are_rows()`; others are left out.

    What one of them fails with is returned in its place, for it concerns nobody else.
    """
    sessions = _loaded(key for key in keys if _is_sane(key))
    found = _users_of(sessions, [])[0]
    return {
        key: user if isinstance(user, Exception) else Login(user, proof_of(sessions[key]))
        for key, user in found.items()
    }


def users_of(keys: Iterable[str]) -> dict[str, Any]:
    """The users that are logged in by these session keys, where `are_rows()`; others are left out.

    What one of them fails with is returned in its place, for it concerns nobody else.
    """
    return users_of_and(keys, [])[0]


def users_of_and(keys: Iterable[str], more: Iterable[Any]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """As `users_of`, and some more users by their primary keys, in the same two queries."""
    return _users_of(_loaded(key for key in keys if _is_sane(key)), more)


def _users_of(
    sessions: dict[str, Any], more: Iterable[Any]
) -> tuple[dict[str, Any], dict[Any, Any]]:
    wanted = _wanted(sessions)
    users = users_by_pk({*wanted.values(), *more})
    found = {key: _verified(one, users.get(wanted.get(key))) for key, one in sessions.items()}
    return {key: user for key, user in found.items() if user is not None}, users


def key_of(cookies: dict[str, str]) -> str:
    """The session key among a browser's cookies, empty if there is none."""
    return str(cookies.get(settings.SESSION_COOKIE_NAME, ""))


def _is_cookie(session: Any) -> bool:
    return isinstance(session, CookieStore)


def _is_sane(key: str) -> bool:
    """A key with NUL, or a longer one than there is, would fail the query for all."""
    return len(key) <= KEY_CHARACTERS and key.isascii() and key.isprintable()


def _loaded(keys: Iterable[str]) -> dict[str, Any]:
    """The sessions that are still good, with what they hold."""
    wanted = list(keys)
    if not wanted:
        return {}
    # From the database that is written: a replica may not yet know of a logout.
    rows = _rows().filter(session_key__in=wanted)
    sessions = {}
    for row in rows.filter(expire_date__gt=timezone.now()):
        session = sessions[row.session_key] = DatabaseStore(row.session_key)
        session._session_cache = session.decode(row.session_data)  # type: ignore[attr-defined]
    return sessions


def _wanted(sessions: dict[str, Any]) -> dict[str, Any]:
    """The users' keys of those sessions whose backend finds them by primary key alone."""
    primary_key = auth.get_user_model()._meta.pk
    wanted = {}
    for key, session in sessions.items():
        with suppress(Exception):  # Django's own code will say what is wrong with it
            if _is_plain(session):
                wanted[key] = primary_key.to_python(session[auth.SESSION_KEY])
    return wanted


def _is_plain(session: Any) -> bool:
    path = session.get(auth.BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS or auth.SESSION_KEY not in session:
        return False
    return type(auth.load_backend(path)).get_user is ModelBackend.get_user


def _verified(session: Any, user: Any) -> Any:
    """The user of a session, None if it has none, or what finding it failed with."""
    try:
        if user is None or not _is_verified(session, user):
            # Django's own code judges whatever is not simply so: other backends, missing users.
            session.cycle_key = _keep_key
            user = auth.get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
        return user if user is not None and user.is_authenticated else None
    except Exception as error:
        return error


def _is_verified(session: Any, user: Any) -> bool:
    backend = auth.load_backend(session[auth.BACKEND_SESSION_KEY])
    if not isinstance(backend, ModelBackend) or not backend.user_can_authenticate(user):
        return False
    told = session.get(auth.HASH_SESSION_KEY) or ""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(told, known) for known in hashes)


def _keep_key() -> None:
    """Stands for `cycle_key`, by which Django renews a session that an old secret has signed."""


def _rows() -> QuerySet[Any]:
    # Only here, as a site whose sessions are elsewhere need not have the app.
    model = DatabaseStore.get_model_class()
    return model.objects.using(router.db_for_write(model))
