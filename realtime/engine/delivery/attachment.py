"""Attach a connection to a topic without a gap, to a room and to a topic of the site alike.

A client that comes back continues from its position; another one starts anew. The connection is
brought to the position of its lane and attached there. Nothing is awaited between the last
comparison and the attachment, so no event can be missed.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from ...store.logs import Changes
from ...wire.errors import CommandError, ErrorCode
from ...wire.position import LogState
from ..connections.connection import Connection
from ..database.executor import Database
from .flusher import FRAME_BYTES, Lane
from .hub import Hub
from .topic import AnyLogTopic, LogTopic

__all__ = ["REPLY_BYTES", "Attachment", "latest"]

S = TypeVar("S", bound=LogState)
T = TypeVar("T", bound=AnyLogTopic)
P = TypeVar("P")

ATTEMPTS = 5
"""How often a start is tried again because the topic has changed meanwhile."""
REPLY_BYTES = FRAME_BYTES - 4096
"""The bytes of states in a reply; the rest is for its other fields."""


@dataclass(slots=True)
class Attachment(Generic[T, P]):
    """The way of one connection into a topic.

    Derived classes know what the client gets, a `P`. Their methods `resume` and `start` return None
    if the topic has changed meanwhile.
    """

    hub: Hub
    db: Database
    topic: T
    connection: Connection

    too_busy: ClassVar[object] = ""
    """What the client is told if the topic changes faster than it can be read."""

    async def attach(self, since: Any) -> P:
        """Resume from a position, or start without one or if that is not possible.

        Raises `CommandError` with `unavailable` if the topic changes faster than it can be read.
        """
        self.hub.check_open(self.topic, self.too_busy)
        self.topic.readers += 1
        try:
            page = await self.resume(since) if since is not None else None
            for _attempt in range(ATTEMPTS):
                page = page or await self.start()
                if page is not None:
                    return page
        finally:
            self.topic.readers -= 1
        raise CommandError(ErrorCode.UNAVAILABLE, self.too_busy, retry_after=1)

    async def resume(self, since: Any) -> P | None:
        """Continue from a position; return None if the client has to start."""
        raise NotImplementedError

    async def start(self) -> P | None:
        """Begin without a position."""
        raise NotImplementedError

    @property
    def lane(self) -> Lane:
        """The lane of the connection; its position is that of an attached client."""
        return self.topic.lane(self.connection.codec)

    async def reach(self, epoch: str, end: int) -> bool:
        """Wait until the lane is at the position of the client; return False if it cannot be."""
        topic, lane = self.topic, self.lane
        if epoch == topic.position.epoch and end > topic.position.seq:
            await self.hub.follower.catch_up(topic)  # the client got it from a faster process
        if not self.continues(epoch, end):
            return False
        while lane.position < end <= topic.position.seq:
            await lane.flushed()
            lane.move(topic.position.seq)
        return True

    def continues(self, epoch: str, end: int) -> bool:
        """Return whether the log continues from the position of a client, and nothing is purged."""
        position = self.topic.position
        return epoch == position.epoch and self.topic.ring.purged_seq <= end <= position.seq

    async def remembered(self, position: int) -> list[Any] | None:
        """Return the changes since a position from memory, or None."""
        topic = self.topic
        states: list[Any] | None = topic.ring.since(position)
        if states is None and (topic.is_shared or topic.readers > 1):
            await self.hub.follower.extend_ring(topic)
            states = topic.ring.since(position)
        return states


def latest(topic: LogTopic[Any, S], changes: Changes[S]) -> list[S] | None:
    """Return the states of the database with later changes, or None if those are unknown."""
    newer = topic.ring.since(changes.through)
    if newer is None or changes.mark.epoch != topic.position.epoch:
        return None
    states = {state.id: state for state in changes.states}
    for state in newer:
        states.pop(state.id, None)
        states[state.id] = state
    return list(states.values())
