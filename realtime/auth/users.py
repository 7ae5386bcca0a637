"""Authentication by the user that middleware has put into the scope."""

from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model

from ..conf import config
from ..engine.database.executor import Database
from ..store.accounts import tokens, users
from ..store.accounts.sessions import credential_of
from .authenticator import Authentication, Authenticator, Credential, Identity

__all__ = ["ScopeUser"]


class ScopeUser(Authenticator):
    """Accepts the `user` in the scope, as set by Channels' `AuthMiddlewareStack` and others."""

    async def afrom_scope(self, scope: dict[str, Any], db: Database) -> Authentication | None:
        """Accept the user without a query, unless its session is not loaded yet."""
        user = scope.get("user")
        if user is None or not user.is_authenticated:
            return None
        if scope.get("session") is not None:
            return await db.read(_with_session, user, scope["session"])
        if config().display_name:  # which may need a query
            return await db.read(_alone, user)
        return _alone(user)


def _alone(user: Any) -> Authentication:
    return Authentication(Identity.of(user), _by_password(user))


def _with_session(user: Any, session: Any) -> Authentication | None:
    key = getattr(session, "session_key", None)
    if not key or str(session.get(SESSION_KEY)) != str(user.pk):
        return Authentication(Identity.of(user), _by_password(user))
    credential = credential_of(session)
    if credential.token_id and tokens.revoked([credential.token_id]):  # the cookie is too old
        return None
    return Authentication(Identity.of(user), credential)


def _by_password(user: Any) -> Credential:
    is_ours = isinstance(user, get_user_model())
    return Credential(password=users.password_of(user)) if is_ours else Credential()
