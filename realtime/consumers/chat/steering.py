"""Join and leave rooms because the site's code says so, not the client: see `push.user(…).join`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from django.db import Error as DatabaseError

from ...conf import config
from ...engine.bus.notes import RoomMove, Transfer
from ...logs import get_logger
from ...wire.errors import CommandError

__all__ = ["Move", "Steering"]

logger = get_logger("realtime.consumer")
REFUSED = "room %s: a user cannot %s for the site: %s"
FAILED = "room %s: a user did not %s for the site: %r"


class Move(NamedTuple):
    """A note about a room, for one connection."""

    note: RoomMove | Transfer
    was_here: bool
    """Whether the connection was in the room when the note came; it may be put out meanwhile."""

    def __str__(self) -> str:
        match self.note:
            case Transfer(to=to):
                return f"move to {to}"
            case RoomMove(joins=joins):
                return "join" if joins else "leave"


class Steering:
    """The moves of one connection, which are made one after the other."""

    def __init__(
        self, make: Callable[[Move], Awaitable[None]], ready: Callable[[], Awaitable[None]]
    ) -> None:
        self._make = make
        self._ready = ready
        self._moves: deque[Move] = deque()
        self._task: asyncio.Task[None] | None = None

    def add(self, move: Move) -> None:
        """Make a move after those that were added before."""
        self._moves.append(move)
        if self.is_idle:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def forget(self, room: str) -> None:
        """Skip the moves out of a room that wait, unless the connection is there again by then."""
        self._moves = deque(
            one._replace(was_here=False) if one.note.room == room else one for one in self._moves
        )

    @property
    def is_idle(self) -> bool:
        """Whether no move waits or is being made."""
        return self._task is None or self._task.done()

    def stop(self) -> None:
        """Make no more moves."""
        self._moves.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._moves:
            await self._ready()  # each `joined` event may be large
            move = self._moves.popleft()
            try:
                async with asyncio.timeout(config().handler_seconds):
                    await self._make(move)
            except CommandError as error:  # the rights of the user hold for the site's code too
                logger.info(REFUSED, move.note.room, move, error.code)
            except (DatabaseError, TimeoutError) as error:
                logger.warning(FAILED, move.note.room, move, error)
            except Exception:  # of a site's own policy
                logger.exception("room %s: a user did not %s for the site", move.note.room, move)
