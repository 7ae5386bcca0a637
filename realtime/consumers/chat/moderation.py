"""Commands of moderators, and reports to them (docs/moderation.md)."""

from functools import partial
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ... import moderation as acts
from ...models import Room
from ...store.accounts.identity import Identity
from ...store.moderation import actions
from ...store.rooms import deletion
from ...store.rooms.access import RoomAccess, room_of
from ...wire.commands import (
    Ban,
    Delete,
    Kick,
    Mute,
    Report,
    Unban,
    Unmute,
)
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Done
from ..commands import command
from .joining import Joining

__all__ = ["Moderation"]

BY_NAME = _("It applies to the user id only: the address is unknown, or may be that of a proxy.")
SanctionCommand = Kick | Ban | Unban | Mute | Unmute


class Moderation(Joining):
    """The commands of moderators, and reports to them."""

    @command
    async def kick(self, command: Kick) -> Done:
        """Remove a user from a room for a short time."""
        return await self._sanction_user(command)

    @command
    async def ban(self, command: Ban) -> Done:
        """Ban a user from a room."""
        return await self._sanction_user(command)

    @command
    async def unban(self, command: Unban) -> Done:
        """Lift the ban of a user."""
        return await self._sanction_user(command)

    @command
    async def mute(self, command: Mute) -> Done:
        """Mute a user in a room."""
        return await self._sanction_user(command)

    @command
    async def unmute(self, command: Unmute) -> Done:
        """Lift the mute of a user."""
        return await self._sanction_user(command)

    @command
    async def delete(self, command: Delete) -> Done:
        """Delete the text of a message."""
        subscription = await self._allowed(command.room, lambda entry: True)
        change = await self.engine.db.read(
            deletion.change_of, command.id, subscription.access, self.identity
        )
        await self.engine.writer.write(change)
        return Done(room=command.room)

    @command
    async def report(self, command: Report) -> Done:
        """Report a message to the moderators."""
        report = partial(_report, address=self.address)
        return await self._act(command, report, lambda entry: entry.may_read_history)

    async def _sanction_user(self, command: SanctionCommand) -> Done:
        is_here = self.engine.admission.is_here(command.user_id)
        act = partial(_sanction, is_here=is_here)
        return await self._act(command, act, lambda entry: entry.may_moderate)


def _sanction(
    command: SanctionCommand, entry: RoomAccess, identity: Identity, *, is_here: bool
) -> Promise | None:
    room = room_of(entry)
    user = actions.target(command.user_id, room, is_here=is_here)
    if user == identity.user_id:
        message = _("You cannot do this to yourself.")
        raise CommandError(ErrorCode.PERMISSION_DENIED, message)
    actions.check_rank(room, entry.may_manage, user)
    more: dict[str, Any] = {"by": identity, "rank": actions.rank_of(identity, room)}
    match command:
        case Kick():
            acts.kick(room, user, reason=command.reason, **more)
        case Unban():
            acts.unban(room, user, **more)
        case Unmute():
            acts.unmute(room, user, **more)
        case Ban() | Mute():
            return _add(command, room, user, more)
    return None


def _add(command: Ban | Mute, room: Room, user: str, more: dict[str, Any]) -> Promise | None:
    """Ban or mute; return a note for the moderator, or None."""
    addresses = actions.addresses_of(user) if command.address else None
    act = acts.ban if isinstance(command, Ban) else acts.mute
    act(room, user, addresses=addresses, seconds=command.seconds, reason=command.reason, **more)
    return BY_NAME if command.address and not addresses else None


def _report(command: Report, entry: RoomAccess, identity: Identity, *, address: str) -> None:
    actions.report(command.id, entry.room_id, identity, command.reason, address=address)
