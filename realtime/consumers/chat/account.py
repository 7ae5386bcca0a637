"""Commands to accept and block other users."""

from django.utils.translation import gettext_lazy as _

from ...store.rooms import blocks, memberships
from ...wire.commands import Block, Membership
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Blocks, Done
from ..base import Consumer
from ..commands import command

__all__ = ["Account"]


class Account(Consumer):
    """The commands for requests of strangers, and for the block list of the user."""

    @command
    async def membership(self, command: Membership) -> Done:
        """Accept the direct room that a stranger has opened, or leave it for good."""
        if self.identity.is_guest:
            message = _("Sign in to have a place in a room.")
            raise CommandError(ErrorCode.PERMISSION_DENIED, message)
        answer = memberships.answer_request
        await self.engine.db.write_blocking(answer, command.room, self.identity, command.accepted)
        return Done(room=command.room)

    @command
    async def block(self, command: Block) -> Blocks | Done:
        """Block or unblock a user, or send the block list."""
        if command.user_id is None:
            mine = await self.engine.db.read(blocks.of, self.identity)
            return Blocks(user_ids=mine)
        change = blocks.add if command.on else blocks.remove
        await self.engine.db.write_blocking(change, self.identity, command.user_id)
        return Done()
