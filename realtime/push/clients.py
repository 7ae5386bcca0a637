"""Send to the connections of a user, or to one connection."""

from asgiref.sync import sync_to_async

from ..engine.bus.handover import Handover
from ..engine.bus.notes import RoomMove
from ..models import Room
from .rooms import slug_of
from .target import Target, text_of

__all__ = ["ClientTarget"]


class ClientTarget(Target):
    """The connections of a user, or one connection."""

    def join(self, room: Room | str, *, using: str | None = None) -> Handover:
        """Have the connections join a room, given as a row or by its slug.

        A client that was not in it gets `joined`, as after a `join` of its own. The rights of the
        user hold: a client that may not join gets nothing. Raises `Room.DoesNotExist`.
        """
        return self._publish(RoomMove(slug_of(room), True, "", self._connection), using)

    async def ajoin(self, room: Room | str, *, using: str | None = None) -> Handover:
        """Have the connections join a room."""
        handover = await sync_to_async(self.join)(room, using=using)
        return await handover.settled()

    def leave(self, room: Room | str, reason: str = "", *, using: str | None = None) -> Handover:
        """Have the connections leave a room; a client that was in it gets `removed`.

        It keeps its rights, and may join again: `moderation.kick` and `ban` keep a user out.
        """
        move = RoomMove(slug_of(room), False, text_of(reason), self._connection)
        return self._publish(move, using)

    async def aleave(
        self, room: Room | str, reason: str = "", *, using: str | None = None
    ) -> Handover:
        """Have the connections leave a room."""
        handover = await sync_to_async(self.leave)(room, reason, using=using)
        return await handover.settled()
