"""The interface of authenticators, and the chain that `AUTHENTICATORS` configures."""

from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from ..conf import config
from ..engine.database.executor import Database
from ..store.accounts.identity import Authentication, Credential, Identity

__all__ = ["Authentication", "Authenticator", "Credential", "Identity", "authenticators"]


class Authenticator:
    """One way to sign in; a site lists its own in `AUTHENTICATORS`, as dotted paths.

    Both methods may use the ORM: they run in a thread. They return None for a credential of
    another kind and for an invalid one; then the next authenticator is called. The client does not
    see the difference. An exception closes the connection with 4011, so that the client tries
    again. One instance serves a whole process.
    """

    def from_scope(self, scope: dict[str, Any]) -> Authentication | None:
        """Authenticate a connection by its ASGI scope, from which tokens have been removed."""
        return None

    def from_token(self, token: str) -> Authentication | None:
        """Authenticate by a token, which came with the handshake or in an `auth` command."""
        return None

    async def afrom_scope(self, scope: dict[str, Any], db: Database) -> Authentication | None:
        """As `from_scope`, on the event loop; override it if a query is batched or not needed."""
        if type(self).from_scope is Authenticator.from_scope:
            return None
        return await db.read(self.from_scope, scope)

    async def afrom_token(self, token: str, db: Database) -> Authentication | None:
        """As `from_token`, on the event loop."""
        if type(self).from_token is Authenticator.from_token:
            return None
        return await db.read(self.from_token, token)


def authenticators() -> tuple[Authenticator, ...]:
    """Return the authenticators of the setting, in its order."""
    return _made(tuple(config().authenticators))


@cache
def _made(paths: tuple[str, ...]) -> tuple[Authenticator, ...]:
    return tuple(import_string(path)() for path in paths)
