"""Commands of moderators, and reports to them (docs/moderation.md)."""

from functools import partial

from ...store.accounts.identity import Identity
from ...store.moderation import actions
from ...store.rooms import deletion, sanctioning
from ...store.rooms.access import RoomAccess
from ...store.rooms.sanctioning import SanctionCommand
from ...wire.commands import (
    Ban,
    Delete,
    Kick,
    Mute,
    Report,
    Unban,
    Unmute,
)
from ...wire.events import Done
from ..commands import command
from .joining import Joining

__all__ = ["Moderation"]


class Moderation(Joining):
    """The commands of moderators, and reports to them."""

    @command
    async def kick(self, command: Kick) -> Done:
        """Remove a user from a room for a short time."""
        return await self._sanction(command)

    @command
    async def ban(self, command: Ban) -> Done:
        """Ban a user from a room."""
        return await self._sanction(command)

    @command
    async def unban(self, command: Unban) -> Done:
        """Lift the ban of a user."""
        return await self._sanction(command)

    @command
    async def mute(self, command: Mute) -> Done:
        """Mute a user in a room."""
        return await self._sanction(command)

    @command
    async def unmute(self, command: Unmute) -> Done:
        """Lift the mute of a user."""
        return await self._sanction(command)

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

    async def _sanction(self, command: SanctionCommand) -> Done:
        is_here = self.engine.admission.is_here(command.user_id)
        act = partial(sanctioning.apply, is_here=is_here)
        return await self._act(command, act, lambda entry: entry.may_moderate)


def _report(command: Report, entry: RoomAccess, identity: Identity, *, address: str) -> None:
    actions.report(command.id, entry.room_id, identity, command.reason, address=address)
