"""The tables: rooms with their logs and members, connections, sanctions, names and tokens."""

from .access import RevokedToken, Rights
from .live import Connection, Live, Node, Occupancy, Presence, TopicOccupancy
from .logs import Entry, Log, Pending
from .moderation import Block, Report, Sanction
from .people import LastAddress, Look, Voice
from .rooms import Departure, Membership, Message, Room
from .traces import Trace

__all__ = [
    "Block",
    "Connection",
    "Departure",
    "Entry",
    "LastAddress",
    "Live",
    "Log",
    "Look",
    "Membership",
    "Message",
    "Node",
    "Occupancy",
    "Pending",
    "Presence",
    "Report",
    "RevokedToken",
    "Rights",
    "Room",
    "Sanction",
    "TopicOccupancy",
    "Trace",
    "Voice",
]
