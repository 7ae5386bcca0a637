"""Authentication by the session cookie of Django."""

from typing import Any

from ..engine.database.executor import Database
from ..store.accounts.sessions import are_rows, key_of, login_of, logins_of
from .authenticator import Authentication, Authenticator, Identity
from .handshake import cookies_of

__all__ = ["SessionCookie"]


class SessionCookie(Authenticator):
    """Authenticates by the session cookie; concurrent handshakes share their queries."""

    async def afrom_scope(self, scope: dict[str, Any], db: Database) -> Authentication | None:
        """Find the user of the cookie's session.

        If middleware has put an anonymous user into the scope, the cookie is not used. A user in
        the scope is for `ScopeUser`; in a chain without it, the session must be of the same user.
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
