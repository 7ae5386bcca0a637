"""Who a connection comes from: the chain of authenticators is asked, one after the other."""

from typing import Any

from ..conf import config
from ..engine.database.executor import Database
from ..logs import get_logger
from ..store.accounts.identity import Authentication
from ..store.accounts.sessions import key_of
from ..wire.errors import CloseCode, Disconnect
from .authenticator import authenticators
from .guests import new_guest, sign_in
from .handshake import TOKEN_CHARACTERS, cookies_of, take_token

__all__ = ["identify", "identify_token"]

logger = get_logger("realtime.auth")
SCOPE_USER = "realtime.auth.users.ScopeUser"


async def identify(scope: dict[str, Any], db: Database) -> Authentication | None:
    """Find out who opens a connection, and take the token out of the scope.

    What the scope says comes before a token; nobody is a new guest where `GUESTS` is on. None
    where nothing was said at all and a first message may: see `FIRST_MESSAGE_AUTH`. Raises
    `Disconnect` with `UNAUTHENTICATED` for credentials that are no good, whatever is wrong.
    """
    token = take_token(scope)
    for one in authenticators():
        if (found := await one.afrom_scope(scope, db)) is not None:
            return found
    if token is not None:
        return await identify_token(token, db)
    if config().guests:
        return sign_in(new_guest())
    if scope.get("user") is not None and scope["user"].is_authenticated:
        logger.warning("nothing in AUTHENTICATORS takes the user in the scope; add %s", SCOPE_USER)
    if config().first_message_auth and not key_of(cookies_of(scope)):
        return None
    raise Disconnect(CloseCode.UNAUTHENTICATED)


async def identify_token(token: str, db: Database) -> Authentication:
    """Who a token was given to; raises `Disconnect` with `UNAUTHENTICATED` where it is not ours."""
    if len(token) <= TOKEN_CHARACTERS:
        for one in authenticators():
            if (found := await one.afrom_token(token, db)) is not None:
                return found
    raise Disconnect(CloseCode.UNAUTHENTICATED)
