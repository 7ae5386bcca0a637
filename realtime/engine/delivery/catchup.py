"""Let a connection join a room without a gap (`attachment.py`), with one reply."""

from dataclasses import dataclass

import msgspec
from django.utils.translation import gettext_lazy as _

from ...store.logs import Changes
from ...wire.body import characters
from ...wire.commands import Since
from ...wire.events import MessageState
from ..connections.connection import Connection
from ..database.executor import Database
from .attachment import REPLY_BYTES, Attachment, latest
from .hub import Hub
from .room_topic import RoomTopic

__all__ = ["CaughtUp", "attach", "fit_frame"]

RESUME_STATES = 500
FIELD_BYTES = 300
"""The most bytes that the names and numbers of a state take."""


@dataclass(slots=True)
class CaughtUp:
    """The messages that bring a client to `through`; it gets every later event as it happens."""

    states: list[MessageState]
    has_more: bool
    recovered: bool
    through: int


async def attach(
    hub: Hub,
    db: Database,
    topic: RoomTopic,
    connection: Connection,
    *,
    since: Since | None,
    limit: int,
) -> CaughtUp:
    """Attach a connection to a room's topic, and return what it has missed since a position.

    Without `since`, or if the client cannot resume from there or has missed too much, it starts
    with the newest `limit` messages. Raises `CommandError` with `unavailable` if the room changes
    faster than it can be read.
    """
    return await _RoomAttachment(hub, db, topic, connection, limit).attach(since)


@dataclass(slots=True)
class _RoomAttachment(Attachment[RoomTopic, CaughtUp]):
    """The way of one connection into a room."""

    limit: int

    too_busy = _("The room is too busy. Try again in a moment.")

    async def resume(self, since: Since) -> CaughtUp | None:
        """Continue from a position, if the client has not missed too much."""
        topic, lane, position = self.topic, self.lane, since.seq
        if not await self.reach(since.epoch, position):
            return None
        states = await self.remembered(position)
        if states is None and topic.ring.free <= 0:
            return None  # the ring is full, and still does not go back far enough
        if states is None:
            changes = await self.db.read(topic.log.since, position, RESUME_STATES)
            if changes.has_more or position < changes.mark.purged_seq:
                return None
            states = latest(topic, changes)
        if states is None or not self.continues(since.epoch, position) or lane.position < position:
            return None
        states = [state for state in states if state.position <= lane.position]
        if len(states) > RESUME_STATES or len(fit_frame(states)) < len(states):
            return None
        self.connection.subscribe(topic)
        return CaughtUp(states, False, True, lane.position)

    async def start(self) -> CaughtUp | None:
        """Begin with the newest messages."""
        topic, lane, limit = self.topic, self.lane, self.limit
        found = topic.ring.recent(limit)
        if found is not None:
            states, has_more = found
        else:
            older, has_more, mark = await self.db.read(topic.log.recent, limit)
            known = latest(topic, Changes(older, mark.last_seq, mark, has_more))
            if known is None:
                await self.hub.follower.catch_up(topic)
                return None
            states = known
        states = [state for state in states if state.position <= lane.position]
        states.sort(key=lambda state: state.seq)
        kept = fit_frame(states[-limit:] if limit else [])
        self.connection.subscribe(topic)
        return CaughtUp(kept, has_more or len(kept) < len(states), False, lane.position)


def fit_frame(states: list[MessageState]) -> list[MessageState]:
    """Return the newest states that fit into one frame, at least one."""
    if sum(map(_max_bytes, states)) < REPLY_BYTES:
        return states
    size = 0
    for number, state in enumerate(reversed(states)):
        size += len(msgspec.json.encode(state)) + 1
        if size > REPLY_BYTES and number:
            return states[-number:]
    return states


def _max_bytes(state: MessageState) -> int:
    """Estimate the size of a state from above; encoding many to count their bytes is too slow."""
    text = characters(state) + len(state.user_id) + len(state.username)
    return FIELD_BYTES + 6 * (text + len(state.nonce or ""))  # at worst \u0000 for each
