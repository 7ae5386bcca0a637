"""The numbers of one process at one moment, for metrics, the admin and `realtime_status`.

What has happened comes from `realtime.counts`; what is open now is read from the engine.
"""

import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .. import __version__
from ..counts import counts
from .delivery.room_topic import RoomTopic

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Acks", "Gauges", "Numbers", "Totals", "read"]

_started_at = time.time()


class Gauges(msgspec.Struct):
    """The connections, rooms, topics and frames that are open or wait now."""

    connections: int = 0
    users: int = 0
    """Users and guests with a connection."""
    guests: int = 0
    """Connections of guests."""
    unauthenticated: int = 0
    """Clients whose first command has to authenticate them."""
    rooms: int = 0
    """Rooms with a client in this process."""
    topics: int = 0
    subscriptions: int = 0
    """Connections in rooms and topics, each counted in each of them."""
    queued_frames: int = 0
    """Frames that wait in outboxes, because their clients read slowly."""
    queued_bytes: int = 0
    unwritten: int = 0
    """Messages, changes and requests to number that are not committed yet."""


class Acks(msgspec.Struct):
    """The times of commits: `buckets` are those of `realtime.counts.BOUNDS`, not cumulative."""

    buckets: list[int]
    seconds: float = 0.0


class Totals(msgspec.Struct):
    """The counts since the process began; `Counts` explains each field."""

    acks: Acks
    opened: int = 0
    closed: dict[str, int] = {}
    refused: dict[str, int] = {}
    frames_received: int = 0
    bytes_received: int = 0
    commands: int = 0
    errors: dict[str, int] = {}
    frames_sent: int = 0
    bytes_sent: int = 0
    deliveries: int = 0
    published: int = 0
    numberings: int = 0
    numbered: int = 0
    repairs: int = 0
    events_repaired: int = 0
    notes_sent: int = 0
    notes_received: int = 0


class Numbers(msgspec.Struct):
    """One process, and its numbers; times are in seconds since the epoch."""

    node: str
    """Empty in a process that serves no sockets."""
    hostname: str
    pid: int
    program: str
    version: str
    started_at: float
    at: float
    cpu_seconds: float
    is_stopping: bool
    """Whether it accepts no new clients, because it stops or drains."""
    is_draining: bool
    """Whether it only moves its clients to other processes."""
    is_current: bool
    """Whether the lease of the process was renewed in time."""
    is_layer_away: bool
    gauges: Gauges
    totals: Totals


def read(engine: "Engine | None") -> Numbers:
    """Return the numbers of this process; call it in the event loop of the engine."""
    return Numbers(
        node="" if engine is None else engine.node.id,
        hostname=socket.gethostname(),
        pid=os.getpid(),
        program=_program(),
        version=__version__,
        started_at=_started_at,
        at=time.time(),
        cpu_seconds=time.process_time(),
        is_stopping=engine is not None and not engine.takes_clients,
        is_draining=engine is not None and engine.draining.is_on and not engine.is_stopping,
        is_current=engine is None or engine.is_current,
        is_layer_away=engine is not None and engine.hub.layer.is_away,
        gauges=Gauges() if engine is None else _gauges(engine),
        totals=_totals(),
    )


def _program() -> str:
    """Return the name of the program; that of the package for one that is run by `python -m`."""
    path = Path(sys.argv[0])
    return path.parent.name if path.name == "__main__.py" else path.name


def _gauges(engine: "Engine") -> Gauges:
    logs, admission = engine.hub.logs, engine.admission
    rooms = sum(isinstance(topic, RoomTopic) for topic in logs)
    waiting = [one.outbox.queue for one in engine.connections.values() if one.outbox.queue]
    return Gauges(
        connections=len(engine.connections),
        users=len(admission.connections_of),
        guests=admission.guests,
        unauthenticated=admission.unauthenticated,
        rooms=rooms,
        topics=len(logs) - rooms,
        subscriptions=sum(len(topic.members) for topic in logs),
        queued_frames=sum(map(len, waiting)),
        queued_bytes=sum(queue.size for queue in waiting),
        unwritten=engine.writer.waiting,
    )


def _totals() -> Totals:
    return Totals(
        acks=Acks(list(counts.acks.buckets), counts.acks.seconds),
        opened=counts.opened,
        closed={str(code): number for code, number in counts.closed.items()},
        refused=dict(counts.refused),
        frames_received=counts.frames_received,
        bytes_received=counts.bytes_received,
        commands=counts.commands,
        errors=dict(counts.errors),
        frames_sent=counts.frames_sent,
        bytes_sent=counts.bytes_sent,
        deliveries=counts.deliveries,
        published=counts.published,
        numberings=counts.numberings,
        numbered=counts.numbered,
        repairs=counts.repairs,
        events_repaired=counts.events_repaired,
        notes_sent=counts.notes_sent,
        notes_received=counts.notes_received,
    )
