"""A client for scripts, bots, services and devices; it does not need Django.

It keeps the promise of the package on the other side of the socket: each message is stored once,
and each stored event comes once, in order, over any number of connections.
"""

from ..wire.events import (
    Ack,
    Changed,
    HistoryPage,
    Invited,
    Joined,
    Left,
    MessageEvent,
    Notice,
    PresenceList,
    RoomState,
    SignalEvent,
    TypingEvent,
)
from ..wire.failures import OWN_CODES, RealtimeError
from ..wire.position import Position
from .client import Client, StateChange
from .connection import State
from .frames import Unknown
from .room import Room
from .stream import Reset, Stream
from .subscription import LogState
from .topic import Topic, TopicEvent

__all__ = [
    "OWN_CODES",
    "Ack",
    "Changed",
    "Client",
    "HistoryPage",
    "Invited",
    "Joined",
    "Left",
    "LogState",
    "MessageEvent",
    "Notice",
    "Position",
    "PresenceList",
    "RealtimeError",
    "Reset",
    "Room",
    "RoomState",
    "SignalEvent",
    "State",
    "StateChange",
    "Stream",
    "Topic",
    "TopicEvent",
    "TypingEvent",
    "Unknown",
]
