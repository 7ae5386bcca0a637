"""The state of open connections at one moment, for administrators."""

import asyncio
import time

import msgspec

from .connection import Connection

__all__ = ["ConnectionStats", "snapshot"]

AGENT = 200
"""The characters of a user agent that are shown."""


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
    frames_received: int
    bytes_received: int
    frames_sent: int
    bytes_sent: int
    queued_frames: int
    """How many frames wait because the client reads slowly."""
    queued_bytes: int


def snapshot(connection: Connection) -> ConnectionStats:
    """Return what is known of a connection now; call it in the event loop."""
    traffic, queue = connection.outbox.traffic, connection.outbox.queue
    topics = connection.topics
    lanes = [lane for topic in topics if (lane := topic.lane_of(connection)) is not None]
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
        subscriptions=sum(topic.is_for_clients for topic in topics),
        frames_received=traffic.frames_received,
        bytes_received=traffic.bytes_received,
        frames_sent=traffic.frames_sent + sum(lane.frames_sent for lane in lanes),
        bytes_sent=traffic.bytes_sent + sum(lane.bytes_sent for lane in lanes),
        queued_frames=len(queue),
        queued_bytes=queue.size,
    )


def _active_at(connection: Connection) -> float:
    if connection.heartbeat is None:
        return connection.connected_at
    return time.time() - (asyncio.get_running_loop().time() - connection.heartbeat.heard_at)
