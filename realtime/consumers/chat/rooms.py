"""Commands to make and configure rooms, and to invite users."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...store.accounts.identity import Identity
from ...store.accounts.visitor import Visitor
from ...store.moderation import actions
from ...store.moderation.sanctions import describe, mute_on_site
from ...store.rooms import management, memberships
from ...store.rooms.access import RoomAccess, rights, room_of
from ...wire.commands import (
    Accept,
    Appoint,
    Configure,
    Create,
    Direct,
    Invite,
)
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Done, Invitation, RoomState
from ..commands import command
from .joining import Joining

__all__ = ["Rooms"]

MUTED_MAKER = _("While you are muted, you cannot make rooms.")
MUTED_OWNER = _("While you are muted, you cannot change the title of a room.")


class Rooms(Joining):
    """The commands to make and run rooms."""

    @command
    async def create(self, command: Create) -> RoomState:
        """Make a room that the user owns."""
        return await self._reply_with_room(partial(_create, address=self.address), command)

    @command
    async def direct(self, command: Direct) -> RoomState:
        """Find or make the direct room with another user."""
        return await self._reply_with_room(_direct, command)

    @command
    async def accept(self, command: Accept) -> RoomState:
        """Become a member of a room by an invitation."""
        return await self._reply_with_room(_accept, command)

    @command
    async def invite(self, command: Invite) -> Done | Invitation:
        """Make a user a member of a private room, or make an invitation."""
        subscription = await self._allowed(command.room, lambda entry: entry.may_moderate)
        token = await self.engine.db.write_blocking(
            _invite, command, subscription.access, self.identity
        )
        if token is None:
            return Done(room=command.room)
        seconds = config().invitation_seconds
        return Invitation(room=command.room, invitation=token, expires_in=seconds)

    @command
    async def configure(self, command: Configure) -> Done:
        """Change the settings of a room."""
        return await self._act(command, _configure, _may_configure)

    @command
    async def appoint(self, command: Appoint) -> Done:
        """Give a member another role."""
        return await self._act(command, _appoint, lambda entry: entry.may_manage)

    async def _reply_with_room(self, act: Callable[..., RoomAccess], command: Any) -> RoomState:
        entry = await self.engine.db.write_blocking(act, command, self.identity)
        return RoomState(room=entry.slug, **self._fields(entry))


def _create(command: Create, identity: Identity, *, address: str) -> RoomAccess:
    if (mute := mute_on_site(Visitor(identity, address))) is not None:
        raise _denied(format_lazy("{} {}", describe(mute, *identity.user_ids), MUTED_MAKER))
    room = management.create(identity, command.title, kind=command.kind, slug=command.room)
    return rights(room.slug, identity)


def _direct(command: Direct, identity: Identity) -> RoomAccess:
    if identity.is_guest:
        raise _denied(_("You may not open direct rooms."))
    try:
        other = actions.find_user(command.user_id, command.username)
    except CommandError:
        raise management.unreachable() from None
    return rights(management.direct(identity, other).slug, identity)


def _accept(command: Accept, identity: Identity) -> RoomAccess:
    return rights(memberships.accept(command.invitation, identity).slug, identity)


def _invite(command: Invite, entry: RoomAccess, identity: Identity) -> str | None:
    room = room_of(entry)
    if command.void:
        memberships.void_invitations(room, identity)
    if command.user_id is None and command.username is None:
        return None if command.void else memberships.invitation(room, identity)
    try:
        user = actions.find_user(command.user_id, command.username)
    except CommandError:
        raise memberships.not_to_be_added() from None
    memberships.add(room, user, identity)
    return None


def _may_configure(entry: RoomAccess) -> bool:
    return entry.may_moderate or entry.may_manage


def _configure(command: Configure, entry: RoomAccess, identity: Identity) -> None:
    if command.title is not None and not entry.may_manage:
        raise _denied(_("Only the owner of a room can change its title."))
    if command.title is not None and entry.muted:
        raise _denied(format_lazy("{} {}", entry.muted, MUTED_OWNER))
    management.configure(
        room_of(entry),
        identity,
        title=command.title,
        slow_seconds=command.slow_seconds,
        is_read_only=command.read_only,
    )


def _appoint(command: Appoint, entry: RoomAccess, identity: Identity) -> None:
    try:
        user = actions.find_user(command.user_id)
    except CommandError:
        raise memberships.no_member() from None
    memberships.appoint(room_of(entry), user, command.role, identity)


def _denied(text: Promise) -> CommandError:
    return CommandError(ErrorCode.PERMISSION_DENIED, text)
