"""Let a connection join without a gap: bring it to the position of its lane, and attach it there.

Nothing is awaited between the comparison and the attachment, so no event can be missed.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from django.utils.translation import gettext_lazy as _

from ...store.messages.history import Changes
from ...wire.body import characters
from ...wire.commands import Since
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import MessageState
from ...wire.position import LogState
from ..connections.connection import Connection
from ..database.executor import Database
from .flusher import FRAME_BYTES
from .hub import Hub
from .room_topic import RoomTopic
from .topic import LogTopic

__all__ = ["ATTEMPTS", "ROOM_BYTES", "CaughtUp", "attach", "fit_frame", "latest"]

S = TypeVar("S", bound=LogState)

RESUME_STATES = 500
ATTEMPTS = 5
ROOM_BYTES = FRAME_BYTES - 4096
"""The bytes of messages in a reply; the rest is for its other fields."""
FIELD_BYTES = 300
"""The most bytes that the names and numbers of a state take."""
TOO_BUSY = _("The room is too busy. Try again in a moment.")


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
    hub.check_open(topic, TOO_BUSY)
    topic.readers += 1
    try:
        caught = await _resume(hub, db, topic, connection, since) if since is not None else None
        for _attempt in range(ATTEMPTS):
            caught = caught or await _start(hub, db, topic, connection, limit)
            if caught is not None:
                return caught
    finally:
        topic.readers -= 1
    raise CommandError(ErrorCode.UNAVAILABLE, TOO_BUSY, retry_after=1)


def fit_frame(states: list[MessageState]) -> list[MessageState]:
    """Return the newest states that fit into one frame, at least one."""
    if sum(map(_max_bytes, states)) < ROOM_BYTES:
        return states
    size = 0
    for number, state in enumerate(reversed(states)):
        size += len(msgspec.json.encode(state)) + 1
        if size > ROOM_BYTES and number:
            return states[-number:]
    return states


def _max_bytes(state: MessageState) -> int:
    """Estimate the size of a state from above; encoding many to count their bytes is too slow."""
    text = characters(state) + len(state.user_id) + len(state.username)
    return FIELD_BYTES + 6 * (text + len(state.nonce or ""))  # at worst \u0000 for each


async def _resume(
    hub: Hub, db: Database, topic: RoomTopic, connection: Connection, since: Since
) -> CaughtUp | None:
    lane, position = topic.lane(connection.codec), since.seq
    if since.epoch == topic.position.epoch and position > topic.position.seq:
        await hub.follower.catch_up(topic)  # the client got it from a faster process
    if not topic.ring.purged_seq <= position <= topic.position.seq:
        return None
    while lane.position < position <= topic.position.seq:
        await lane.flushed()
        lane.move(topic.position.seq)
    states = topic.ring.since(position)
    if states is None:
        await hub.follower.extend_ring(topic)
        states = topic.ring.since(position)
    if states is None and topic.ring.free <= 0:
        return None  # the ring is full, and still does not go back far enough
    if states is None:
        changes = await db.read(topic.log.since, position, RESUME_STATES)
        if changes.has_more or position < changes.mark.purged_seq:
            return None
        states = latest(topic, changes)
    if states is None or since.epoch != topic.position.epoch or lane.position < position:
        return None
    states = [state for state in states if state.position <= lane.position]
    if len(states) > RESUME_STATES or len(fit_frame(states)) < len(states):
        return None
    connection.subscribe(topic)
    return CaughtUp(states, False, True, lane.position)


async def _start(
    hub: Hub, db: Database, topic: RoomTopic, connection: Connection, limit: int
) -> CaughtUp | None:
    lane = topic.lane(connection.codec)
    found = topic.ring.recent(limit)
    if found is not None:
        states, has_more = found
    else:
        older, has_more, mark = await db.read(topic.log.recent, limit)
        known = latest(topic, Changes(older, mark.last_seq, mark, has_more))
        if known is None:
            await hub.follower.catch_up(topic)
            return None
        states = known
    states = [state for state in states if state.position <= lane.position]
    states.sort(key=lambda state: state.seq)
    kept = fit_frame(states[-limit:] if limit else [])
    connection.subscribe(topic)
    return CaughtUp(kept, has_more or len(kept) < len(states), False, lane.position)


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
