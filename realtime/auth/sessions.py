"""Django's sessions: whoever has logged in with this browser."""

from typing import Any

from ..engine.db import Database
from ..store.sessions import are_rows, key_of, user_of, users_of
from .authenticator import Authenticator, Identity, Proof, SignIn
from .handshake import cookies_of

__all__ = ["SessionCookie"]


class SessionCookie(Authenticator):
    """Asks for the session of the cookie, along with all who come at the same time."""

    async def afrom_scope(self, scope: dict[str, Any], db: Database) -> SignIn | None:
        """Find the user of the cookie's session.

        Where other middleware has found nobody, that holds. A user whom it has found is for
        `ScopeUser`; in a chain without that, the cookie has to be of the same user.
        """
        known = scope.get("user")
        if known is not None and not known.is_authenticated:
            return None
        if not (key := key_of(cookies_of(scope))):
            return None
        if not are_rows():
            user = await db.read(user_of, key)
        else:
            user = await db.together(users_of, key)
        if isinstance(user, Exception):
            raise user
        if user is None or (known is not None and known.pk != user.pk):
            return None
        return SignIn(Identity.of(user), Proof.of_session(key))
