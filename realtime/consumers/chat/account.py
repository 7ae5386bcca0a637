"""Accept and block other users."""

from django.utils.translation import gettext_lazy as _

from ...store.rooms import blocks, memberships
from ...wire.commands import Block, Membership
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Blocks, Done
from ..base import Consumer
from ..commands import command

__all__ = ["Account"]


class Account(Consumer):
    """The commands by which a user answers requests and keeps a block list."""

    @command
    async def membership(self, command: Membership) -> Done:
        """Accept the direct room that a stranger has opened, or leave it for good."""
        if self.who.is_guest:
            message = _("Sign in to have a place in a room.")
            raise CommandError(ErrorCode.PERMISSION_DENIED, message)
        answer = memberships.answer_request
        await self.engine.db.write_blocking(answer, command.room, self.who, command.accepted)
        return Done(room=command.room)

    @command
    async def block(self, command: Block) -> Blocks | Done:
        """Block or unblock a user, or tell whom the user has blocked."""
        if command.user_id is None:
            mine = await self.engine.db.read(blocks.of, self.who)
            return Blocks(user_ids=mine)
        change = blocks.add if command.on else blocks.remove
        await self.engine.db.write_blocking(change, self.who, command.user_id)
        return Done()
