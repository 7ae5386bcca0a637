"""Identify the user or guest of a connection by the chain of authenticators."""

from typing import Any

from ..conf import config
from ..engine.database.executor import Database
from ..logs import get_logger
from ..store.accounts.identity import Authentication
from ..store.accounts.sessions import key_of
from ..wire.errors import CloseCode, Disconnect
from .authenticator import authenticators
from .guests import new_guest, sign_in
from .handshake import TOKEN_CHARACTERS, cookies_of, pop_token

__all__ = ["identify", "identify_token"]

logger = get_logger("realtime.auth")
SCOPE_USER = "realtime.auth.users.ScopeUser"


async def identify(scope: dict[str, Any], db: Database) -> Authentication | None:
    """Authenticate a connection, and remove the token from its scope.

    The scope takes precedence over a token. A client without credentials is a new guest if
    `GUESTS` is on. Return None if the client may authenticate by its first message, with
    `FIRST_MESSAGE_AUTH`. Raises `Disconnect` with `UNAUTHENTICATED` for invalid credentials.
    """
    token = pop_token(scope)
    for one in authenticators():
        if (found := await one.afrom_scope(scope, db)) is not None:
            return found
    if token is not None:
        return await identify_token(token, db)
    if config().guests:
        return sign_in(new_guest())
    if scope.get("user") is not None and scope["user"].is_authenticated:
        logger.warning(
            "no authenticator accepts the user in the scope; add %s to AUTHENTICATORS", SCOPE_USER
        )
    if config().first_message_auth and not key_of(cookies_of(scope)):
        return None
    raise Disconnect(CloseCode.UNAUTHENTICATED)


async def identify_token(token: str, db: Database) -> Authentication:
    """Authenticate by a token; raises `Disconnect` with `UNAUTHENTICATED` if it is invalid."""
    if len(token) <= TOKEN_CHARACTERS:
        for one in authenticators():
            if (found := await one.afrom_token(token, db)) is not None:
                return found
    raise Disconnect(CloseCode.UNAUTHENTICATED)
