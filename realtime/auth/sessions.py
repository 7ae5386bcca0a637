"""Django's sessions: whoever has logged in with this browser."""

from typing import Any

from ..engine.database.executor import Database
from ..store.accounts.sessions import are_rows, key_of, login_of, logins_of
from .authenticator import Authentication, Authenticator, Identity
from .handshake import cookies_of

__all__ = ["SessionCookie"]


class SessionCookie(Authenticator):
    """Asks for the session of the cookie, along with all who come at the same time."""

    async def afrom_scope(self, scope: dict[str, Any], db: Database) -> Authentication | None:
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
            found = await db.read(login_of, key)
        else:
            found = await db.load(logins_of, key)
        if isinstance(found, Exception):
            raise found
        if found is None or (known is not None and known.pk != found.user.pk):
            return None
        return Authentication(Identity.of(found.user), found.credential)
