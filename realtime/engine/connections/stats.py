"""The state of open connections at one moment, for administrators."""

import asyncio
import time

import msgspec

from .connection import Connection

__all__ = ["ConnectionStats", "snapshot"]

AGENT = 200
"""The characters of a user agent that are shown."""
PLACES, LABEL = 3, 60
"""The rooms and topics of a connection that are named, and the characters of each name."""


class ConnectionStats(msgspec.Struct):
    """A snapshot of a connection; times are in seconds since the epoch."""

    id: str
    user_id: str
    """The user or guest; empty until the client has authenticated."""
    username: str
    address: str
    """The exact address of the client, for moderators; empty where it is unknown."""
    agent: str
    encoding: str
    """The subprotocol whose encoding the connection uses."""
    phase: str
    connected_at: float
    active_at: float
    """When the client last sent something, at first when it connected."""
    subscriptions: int
    """The rooms and topics that send to it."""
    places: list[str]
    """The names of some of them."""
    frames_received: int
    bytes_received: int
    frames_sent: int
    bytes_sent: int
    queued_frames: int
    """How many frames wait because the client reads slowly."""
    queued_bytes: int
    lag: int
    """The positions of its rooms and topics that it has not been sent, and what waits for it."""


def snapshot(connection: Connection) -> ConnectionStats:
    """Return what is known of a connection now; call it in the event loop."""
    traffic, queue = connection.outbox.traffic, connection.outbox.queue
    topics = connection.topics
    lanes = [lane for topic in topics if (lane := topic.lane_of(connection)) is not None]
    labels = [topic.label for topic in topics if topic.is_for_clients]
    identity = getattr(connection, "identity", None)
    return ConnectionStats(
        id=connection.id,
        user_id="" if identity is None else identity.user_id,
        username="" if identity is None else identity.username,
        address=connection.peer_address,
        agent=connection.headers.get("User-Agent", "")[:AGENT],
        encoding=connection.codec.subprotocol,
        phase=connection.phase.name.lower(),
        connected_at=connection.connected_at,
        active_at=_active_at(connection),
        subscriptions=len(labels),
        places=[label[:LABEL] for label in labels[:PLACES]],
        frames_received=traffic.frames_received,
        bytes_received=traffic.bytes_received,
        frames_sent=traffic.frames_sent + sum(lane.frames_sent for lane in lanes),
        bytes_sent=traffic.bytes_sent + sum(lane.bytes_sent for lane in lanes),
        queued_frames=len(queue),
        queued_bytes=queue.size,
        lag=sum(topic.lag_of(connection) for topic in topics) + _waiting_events(connection),
    )


def _waiting_events(connection: Connection) -> int:
    """Count what is kept back or queued; a frame of MessagePack counts as one event."""
    queue = connection.outbox.queue
    if not connection.codec.is_coalescing:
        return queue.withheld_frames + len(queue)
    lines = sum(frame.count("\n") for frame, _size in queue if isinstance(frame, str))
    return queue.withheld_frames + len(queue) + lines


def _active_at(connection: Connection) -> float:
    if connection.heartbeat is None:
        return connection.connected_at
    return time.time() - (asyncio.get_running_loop().time() - connection.heartbeat.heard_at)
