"""Joining without a hole: bring a connection to where its lane is, and attach it there.

Between "equal" and "attached" nothing is awaited, so no event can fall in between.
"""

from dataclasses import dataclass

import msgspec

from ..store import history
from ..wire.commands import Since
from ..wire.events import MessageState
from .db import Database
from .flusher import FRAME_BYTES, Lane
from .hub import Hub
from .outbox import Outbox
from .topic import RoomTopic

__all__ = ["Caught", "attach", "fitting"]

RESUME_STATES = 500


@dataclass(slots=True)
class Caught:
    """What a connection needs to be at `through`, where it now gets every later event."""

    states: list[MessageState]
    has_more: bool
    recovered: bool
    through: int


async def attach(
    hub: Hub, db: Database, topic: RoomTopic, outbox: Outbox, *, since: Since | None, limit: int
) -> Caught:
    """Attach a connection to a room's topic, with all it has missed since a position.

    Without `since`, or where that cannot be continued or is too much, it starts with the newest
    `limit` messages instead.
    """
    caught = None
    if since is not None and since.epoch == topic.position.epoch:
        caught = await _resume(hub, db, topic, outbox, since.seq)
    if caught is None:
        caught = await _start(db, topic, outbox, limit)
    return caught


def fitting(states: list[MessageState]) -> list[MessageState]:
    """The newest of them that fit into one frame, at least one."""
    size = 0
    for number, state in enumerate(reversed(states)):
        size += len(msgspec.json.encode(state)) + 1
        if size > FRAME_BYTES - 4096 and number:
            return states[-number:]
    return states


async def _resume(
    hub: Hub, db: Database, topic: RoomTopic, outbox: Outbox, position: int
) -> Caught | None:
    lane = topic.lane(outbox.codec)
    if position > topic.position.seq:
        await hub.catch_up(topic)  # the client has heard of it from a faster process
    if not topic.ring.purged_seq <= position <= topic.position.seq:
        return None
    while lane.position < position:
        await lane.flushed()
        lane.move(topic.position.seq)
    states = topic.ring.since(position)
    through = topic.position.seq
    if states is None:
        changes = await db.read(history.since, topic.room_id, position, RESUME_STATES)
        if changes.has_more or position < changes.mark.purged_seq:
            return None
        states, through = changes.states, changes.through
    states = _up_to(lane, topic, states, through)
    if len(states) > RESUME_STATES or len(fitting(states)) < len(states):
        return None
    topic.attach(outbox)
    return Caught(states, False, True, lane.position)


async def _start(db: Database, topic: RoomTopic, outbox: Outbox, limit: int) -> Caught:
    lane = topic.lane(outbox.codec)
    found = topic.ring.recent(limit)
    if found is not None:
        states, has_more = found
        states = [state for state in states if state.position <= lane.position]
    else:
        states, has_more, mark = await db.read(history.recent, topic.room_id, limit)
        states = _up_to(lane, topic, states, mark.last_seq)
    states.sort(key=lambda state: state.seq)
    kept = fitting(states[-limit:] if limit else [])
    topic.attach(outbox)
    return Caught(kept, has_more or len(kept) < len(states), False, lane.position)


def _up_to(
    lane: Lane, topic: RoomTopic, states: list[MessageState], through: int
) -> list[MessageState]:
    """What was read from the database, brought to exactly where the lane is now."""
    latest = {state.id: state for state in states}
    for state in topic.ring.since(through) or ():
        latest.pop(state.id, None)
        latest[state.id] = state
    return [state for state in latest.values() if state.position <= lane.position]
