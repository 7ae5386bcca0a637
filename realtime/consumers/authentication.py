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
BAN_SECONDS = 1.0
"""The longest wait of a handshake for the sanctions of its user."""


class Login:
    """The identity of one connection, and the slot that it holds."""

    __slots__ = ("_connection", "_engine", "_sanctions_known", "expiry", "slot")

    _sanctions_known: int | None
    """Up to which change of the site's bans and mutes it was checked; None where that failed."""

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine
        self.slot = Slot(engine.admission, connection.address)
        self.expiry: Expiry | None = None

    def arrive(self) -> None:
        """Count the connection; raise `Disconnect` where it is one too many."""
        self.slot.acquire()
        self._connection.acquire(self._release_slot)

    async def sign_in(self, found: Authentication) -> None:
        """Give the connection its first identity; raise `Disconnect` where it may not have it."""
        if fault := fault_of_key(found.who, is_bounded=not self._engine.db.is_sqlite):
            # Such a row would fail for the whole process, or pass for a guest's.
            logger.error("user %r cannot sign in: %s See W052 and W053.", found.who.user_id, fault)
            raise Disconnect(CloseCode.UNAUTHENTICATED, fault)
        await self._check_banned(found.who)
        who = await self._with_free_name(found.who)
        self.slot.authenticate(who)
        self._connection.identity, self._connection.credential = who, found.credential

    def track(self) -> None:
        """Register the connection for revalidation, and for the end of its credential."""
        revalidator = self._engine.revalidator
        is_checked = self._sanctions_known == revalidator.sanctions_version
        revalidator.track(self._connection, is_checked=is_checked)
        self._set_expiry(self._connection.credential.expires_at)

    def renew(self, user: Any) -> None:
        """Take over the user as it is now."""
        before = self._connection.identity
        who = Identity.of(user).after(before)
        if who.username != before.username:
            self._engine.rename(self._connection, who)
        self._connection.identity = who

    async def change(self, command: Auth, may_change_identity: Callable[[], bool]) -> None:
        """Take a new token or name; raise `CommandError` or `Disconnect` to refuse it."""
        before = self._connection.identity
        who, credential = await self._claimed(command)
        who = who.after(before)
        if who != before:
            self._limit_names(who)
            if command.name is not None:
                visitor = Visitor(who, self._connection.address)
                await self._engine.db.read(_check_name, visitor)
            is_other = who.is_guest or who.user_id != before.user_id
            if is_other and not may_change_identity():
                raise CommandError(ErrorCode.PERMISSION_DENIED, _("Leave your rooms first."))
            if len(who.formerly) > IDENTITIES:
                message = _("Open a new connection to sign in as another user.")
                raise CommandError(ErrorCode.PERMISSION_DENIED, message)
            await self._check_banned(who)
            self.slot.authenticate(who)
            self._engine.rename(self._connection, who)
        if command.token is not None:
            self._connection.identity, self._connection.credential = who, credential
            self.track()

    def _release_slot(self, connection: Connection) -> None:
        self.slot.release()

    def _limit_names(self, who: Identity) -> None:
        """Bound how often a guest changes its name, which is broadcast to its rooms."""
        before = self._connection.identity
        is_new = who.is_guest and before.is_guest and who.username != before.username
        if not is_new or names.is_given(before.username):
            return  # the first one is free
        limits = self._engine.limits
        if wait := limits.charge(self._connection, "act", NAME_COST, identity=who):
            message = _("You have changed your name too often. Try again later.")
            raise CommandError(ErrorCode.RATE_LIMITED, message, retry_after=wait)

    async def _check_banned(self, who: Identity) -> None:
        revalidator = self._engine.revalidator
        found, heard, self._sanctions_known = None, revalidator.sanctions_version, None
        # Where the database is away, the revalidator asks later; no room is entered before.
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(BAN_SECONDS):
                if revalidator.are_sanctions:
                    visitor = Visitor(who, self._connection.address)
                    found = await self._engine.db.load(sanctions.on_site, visitor)
                self._sanctions_known = heard
        if (ban := sanctions.ban_among(found or ())) is not None:
            raise Disconnect(CloseCode.KICKED, sanctions.describe(ban, *who.user_ids))

    async def _with_free_name(self, who: Identity) -> Identity:
        """Take a returning guest's name away where it may not have it by now."""
        if not who.is_guest or names.is_given(who.username):
            return who
        with suppress(DatabaseError, TimeoutError):  # else the revalidator asks later
            async with asyncio.timeout(BAN_SECONDS):
                named = Named(who, who.username)
                if await self._engine.db.load(names.coming, named):
                    return unnamed(who.user_id)
        return who

    async def _claimed(self, command: Auth) -> Authentication:
        before = self._connection.identity
        found = Authentication(before, self._connection.credential)
        if command.token is not None:
            who, credential = await identify_token(command.token, self._engine.db)
            found = Authentication(await self._with_free_name(who.after(before)), credential)
        if command.name is None:
            return found
        if not found.who.is_guest:
            raise CommandError(ErrorCode.PERMISSION_DENIED, _("Only a guest can choose a name."))
        try:
            return Authentication(renamed(found.who, command.name), found.credential)
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
        message = _("The token expires soon. Send a new one by `auth`.")
        self._connection.refuse(CommandError(ErrorCode.TOKEN_EXPIRED, message))

    def _expire(self) -> None:
        self._connection.close(Disconnect(CloseCode.EXPIRED))


def authenticated(connection: Connection) -> Authenticated:
    """What a client is told of its identity after it has authenticated."""
    identity, ends = connection.identity, connection.credential.expires_at
    return Authenticated(
        user_id=identity.user_id,
        username=identity.username,
        expires_at=None if ends is None else timestamp(datetime.fromtimestamp(ends, UTC)),
        guest_token=token_of(identity) if identity.is_guest else None,
    )


def _check_name(visitor: Visitor) -> None:
    """Raise `CommandError` where a guest may not take the name that it has now."""
    who = visitor.who
    if (mute := sanctions.mute_anywhere(visitor.subject)) is not None:
        message = format_lazy("{} {}", sanctions.describe(mute, *who.user_ids), names.MUTED)
        raise CommandError(ErrorCode.PERMISSION_DENIED, message)
    if problem := names.problem(Named(who, who.username)):
        raise CommandError(ErrorCode.INVALID_MESSAGE, problem)
