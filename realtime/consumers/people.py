"""The commands by which a user accepts or blocks other users."""

from ..store.rooms import blocks, memberships
from ..wire.commands import Block, Command, Membership
from ..wire.errors import CommandError, ErrorCode
from ..wire.events import Blocks, Done
from .rooms import RoomConsumer

__all__ = ["PeopleConsumer"]


class PeopleConsumer(RoomConsumer):
    """A connection whose user answers requests and keeps a block list."""

    async def handle(self, command: Command) -> None:
        """Carry out one command of docs/protocol.md."""
        match command:
            case Membership():
                await self._answer(command)
            case Block():
                await self._block(command)
            case _:
                await super().handle(command)

    async def _answer(self, command: Membership) -> None:
        if self.who.is_guest:
            message = "sign in to have a place in a room"
            raise CommandError(ErrorCode.PERMISSION_DENIED, message)
        answer = memberships.answer_request
        await self.engine.db.wait(answer, command.room, self.who, command.accepted)
        self.reply(Done(room=command.room, ref=command.ref))

    async def _block(self, command: Block) -> None:
        if command.user_id is None:
            mine = await self.engine.db.read(blocks.of, self.who)
            self.reply(Blocks(user_ids=mine, ref=command.ref))
            return
        change = blocks.add if command.on else blocks.remove
        await self.engine.db.wait(change, self.who, command.user_id)
        self.reply(Done(ref=command.ref))
