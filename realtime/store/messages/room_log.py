"""The log of a room, as the engine reads it; `store/topics/` has the same reads for topics."""

from collections.abc import Iterable
from dataclasses import dataclass

from ...wire.events import MessageState
from ..logs import Changes, LogMark
from . import history, logs
from .history import room_key

__all__ = ["RoomLog"]


@dataclass(frozen=True, slots=True)
class RoomLog:
    """The log of one room."""

    room_id: int

    @property
    def key(self) -> str:
        """The log key."""
        return room_key(self.room_id)

    def since(self, position: int, limit: int) -> Changes[MessageState]:
        """Return the changes after a position, as `history.since` does."""
        return history.since(self.room_id, position, limit)

    def newest(self, limit: int) -> Changes[MessageState]:
        """Return the last changes, as `logs.newest` does."""
        return logs.newest(self.room_id, limit)

    def older(self, position: int, limit: int) -> Changes[MessageState]:
        """Return the last changes up to a position, as `history.older` does."""
        return history.older(self.room_id, position, limit)

    def recent(self, limit: int) -> tuple[list[MessageState], bool, LogMark]:
        """Return the newest messages, as `history.recent` does."""
        return history.recent(self.room_id, limit)

    def mark(self) -> LogMark:
        """Return the end of the log, as `history.mark` does."""
        return history.mark(self.room_id)

    def renew_epoch(self, known: str) -> None:
        """Begin a new epoch unless it is no longer the known one."""
        history.renew_epoch(self.room_id, known)

    @staticmethod
    def marks(logs: Iterable["RoomLog"]) -> dict[str, LogMark]:
        """Return the ends of the logs of rooms by log key, in one query."""
        found = history.marks(one.room_id for one in logs)
        return {room_key(room_id): mark for room_id, mark in found.items()}
