"""Who a handshake comes from: the scope's user, the session, a token, or a new guest."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.http import parse_cookie

from ..conf import config
from ..engine.db import Database
from ..store.identity import Identity
from ..wire.errors import CloseCode, Disconnect
from .guests import new_guest, read_token
from .sessions import are_rows, user_of, users_of

__all__ = ["identify", "identify_token"]


async def identify(scope: dict[str, Any], db: Database) -> Identity:
    """Find out who opens a connection, and take the token out of the scope.

    A `user` that other middleware has put into the scope wins. Raises `Disconnect` with
    `UNAUTHENTICATED` for a token that is not ours, and for nobody where `GUESTS` is off.
    """
    token = _take_token(scope)
    user = scope.get("user")
    if user is None and (key := _session_key(scope)):
        user = await _user_of(key, db)
    if user is not None and user.is_authenticated:
        return Identity.of(user)
    if token is not None:
        return identify_token(token)
    if config().guests:
        return new_guest()
    raise Disconnect(CloseCode.UNAUTHENTICATED)


def identify_token(token: str) -> Identity:
    """Who a token was given to; raises `Disconnect` with `UNAUTHENTICATED` where it is not ours."""
    guest = read_token(token)
    if guest is None or not config().guests:
        raise Disconnect(CloseCode.UNAUTHENTICATED)
    return guest


async def _user_of(key: str, db: Database) -> Any:
    if not are_rows():
        return await db.read(user_of, key)
    user = await db.together(users_of, key)
    if isinstance(user, Exception):
        raise user
    return user


def _session_key(scope: dict[str, Any]) -> str | None:
    for name, value in scope.get("headers", []):
        if name == b"cookie":
            cookies = parse_cookie(value.decode("latin1"))
            return str(cookies.get(settings.SESSION_COOKIE_NAME, "")) or None
    return None


def _take_token(scope: dict[str, Any]) -> str | None:
    query = parse_qsl(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
    tokens = [value for key, value in query if key == "token"]
    if tokens:
        rest = [pair for pair in query if pair[0] != "token"]
        scope["query_string"] = urlencode(rest).encode()
    for header in scope.get("headers", []):
        name, value = header
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            scope["headers"] = [one for one in scope["headers"] if one is not header]
            return str(value[7:], "latin1").strip()
    return tokens[0] if tokens and tokens[0] else None
