"""The login of a connection: admission, identity, revalidation, and changes by `auth`."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db import Error as DatabaseError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..auth.authenticator import Authentication
from ..auth.guests import renamed, token_of, unnamed
from ..auth.identify import identify_token
from ..engine.connections.admission import Slot
from ..engine.connections.connection import Connection
from ..engine.connections.site_sanctions import Clearance
from ..engine.engine import Engine
from ..logs import get_logger
from ..store.accounts.identity import Identity, fault_of_key
from ..store.accounts.visitor import Visitor
from ..store.moderation import names, sanctions
from ..store.moderation.names import Named
from ..wire.commands import Auth
from ..wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ..wire.events import Authenticated, timestamp
from .expiry import Expiry

__all__ = ["Login", "authenticated"]

logger = get_logger("realtime.consumer")

IDENTITIES = 10
"""The most identities of one connection; the sanctions of earlier identities stay in force."""
NAME_COST = 6
"""The cost of a change of name, in acts of the guest's allowance."""
NAME_SECONDS = 1.0
"""A handshake waits no longer for the answer whether a guest may keep its name."""


class Login:
    """The identity of one connection, and the slot that it holds."""

    __slots__ = ("_clearance", "_connection", "_engine", "expiry", "slot")

    _clearance: Clearance | None
    """The last check against the bans of the site; None where it failed."""

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine
        self.slot = Slot(engine.admission, connection.address)
        self.expiry: Expiry | None = None

    def arrive(self) -> None:
        """Count the connection; raise `Disconnect` if it is one too many."""
        self.slot.acquire()
        self._connection.acquire(self._release_slot)
        self._connection.use_own_language()

    async def sign_in(self, found: Authentication) -> None:
        """Give the connection its first identity; raise `Disconnect` to refuse it."""
        if fault := fault_of_key(found.identity, is_bounded=not self._engine.db.is_sqlite):
            # The row of such a user would fail for the whole process, or look like that of a guest.
            logger.error(
                "user %r cannot sign in: %s See W052 and W053.", found.identity.user_id, fault
            )
            raise Disconnect(CloseCode.UNAUTHENTICATED, fault)
        self._engine.tracer.identify(self._connection, found.identity, found.credential)
        await self._check_bans(found.identity)
        identity = await self._with_free_name(found.identity)
        self.slot.authenticate(identity)
        self._connection.identity, self._connection.credential = identity, found.credential

    def track(self) -> None:
        """Register the connection for revalidation, and for the end of its credential."""
        self._engine.revalidator.track(self._connection, self._clearance)
        self._set_expiry(self._connection.credential.expires_at)

    def replace_user(self, user: Any) -> None:
        """Replace the user by the changed user."""
        before = self._connection.identity
        identity = Identity.of(user).after(before)
        if identity.username != before.username:
            self._engine.change_identity(self._connection, identity)
        self._connection.identity = identity

    async def change(self, command: Auth, reason_against_auth: Callable[[], object]) -> None:
        """Accept a new token or name; raise `CommandError` or `Disconnect` to refuse it."""
        before = self._connection.identity
        identity, credential = await self._claimed(command)
        identity = identity.after(before)
        if identity != before:
            self._limit_names(identity)
            if command.name is not None:
                visitor = Visitor(identity, self._connection.address)
                await self._engine.db.read(_check_name, visitor)
            is_other = identity.is_guest or identity.user_id != before.user_id
            if is_other and (reason := reason_against_auth()) is not None:
                raise CommandError(ErrorCode.PERMISSION_DENIED, reason)
            if len(identity.formerly) > IDENTITIES:
                message = _("Open a new connection to sign in as another user.")
                raise CommandError(ErrorCode.PERMISSION_DENIED, message)
            await self._check_bans(identity)
            self.slot.authenticate(identity)
            self._engine.change_identity(self._connection, identity)
            self._engine.tracer.identify(self._connection, identity, credential)
        if command.token is not None:
            self._connection.identity, self._connection.credential = identity, credential
            self.track()

    def _release_slot(self, connection: Connection) -> None:
        self.slot.release()

    def _limit_names(self, identity: Identity) -> None:
        """Limit how often a guest changes its name, which all its rooms get."""
        before = self._connection.identity
        is_new = identity.is_guest and before.is_guest and identity.username != before.username
        if not is_new or names.is_given(before.username):
            return  # the first one is free
        limits = self._engine.limits
        if wait := limits.charge(self._connection, "act", NAME_COST, identity=identity):
            message = _("You have changed your name too often. Try again later.")
            raise CommandError(ErrorCode.RATE_LIMITED, message, retry_after=wait)

    async def _check_bans(self, identity: Identity) -> None:
        """Check the bans of the site; raise `Disconnect` for a banned user."""
        visitor = Visitor(identity, self._connection.address)
        self._clearance = await self._engine.revalidator.site_sanctions.check(visitor)

    async def _with_free_name(self, identity: Identity) -> Identity:
        """Replace the name of a returning guest that may not have it any more."""
        if not identity.is_guest or names.is_given(identity.username):
            return identity
        with suppress(DatabaseError, TimeoutError):  # else the revalidator checks later
            async with asyncio.timeout(NAME_SECONDS):
                named = Named(identity, identity.username)
                if await self._engine.db.load(names.problems_on_return, named):
                    return unnamed(identity.user_id)
        return identity

    async def _claimed(self, command: Auth) -> Authentication:
        before = self._connection.identity
        found = Authentication(before, self._connection.credential)
        if command.token is not None:
            identity, credential = await identify_token(command.token, self._engine.db)
            found = Authentication(await self._with_free_name(identity.after(before)), credential)
        if command.name is None:
            return found
        if not found.identity.is_guest:
            raise CommandError(ErrorCode.PERMISSION_DENIED, _("Only a guest can choose a name."))
        try:
            return Authentication(renamed(found.identity, command.name), found.credential)
        except ValueError as error:
            raise CommandError(ErrorCode.INVALID_MESSAGE, error.args[0]) from None

    def _set_expiry(self, expires_at: float | None) -> None:
        if self.expiry is None:
            if expires_at is None:
                return
            self.expiry = Expiry(self._warn, self._expire)
            self._connection.acquire(self._stop_expiry)
        self.expiry.set(expires_at)

    def _stop_expiry(self, connection: Connection) -> None:
        if self.expiry is not None:
            self.expiry.stop()

    def _warn(self) -> None:
        if not self._connection.codec.is_protocol:
            return  # a raw client cannot send a new token
        message = _("The token expires soon. Send a new one by `auth`.")
        self._connection.refuse(CommandError(ErrorCode.TOKEN_EXPIRED, message))

    def _expire(self) -> None:
        self._connection.close(Disconnect(CloseCode.EXPIRED))


def authenticated(connection: Connection) -> Authenticated:
    """Return the event with the identity of a client that has authenticated."""
    identity, ends = connection.identity, connection.credential.expires_at
    return Authenticated(
        user_id=identity.user_id,
        username=identity.username,
        expires_at=None if ends is None else timestamp(datetime.fromtimestamp(ends, UTC)),
        guest_token=token_of(identity) if identity.is_guest else None,
    )


def _check_name(visitor: Visitor) -> None:
    """Raise `CommandError` if a guest may not have the name that it has chosen."""
    identity = visitor.identity
    if (mute := sanctions.mute_anywhere(visitor.subject)) is not None:
        message = format_lazy("{} {}", sanctions.describe(mute, *identity.user_ids), names.MUTED)
        raise CommandError(ErrorCode.PERMISSION_DENIED, message)
    if problem := names.problem(Named(identity, identity.username)):
        raise CommandError(ErrorCode.INVALID_MESSAGE, problem)
