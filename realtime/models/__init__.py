"""The tables: rooms with their logs and members, connections, sanctions, names and tokens."""

from .access import RevokedToken, Rights
from .live import Connection, Node, Occupancy, Presence, TopicOccupancy
from .logs import Entry, Log, Pending
from .moderation import Block, Report, Sanction
from .people import LastAddress, Look, Voice
from .rooms import Departure, Membership, Message, Room

__all__ = [
    "Block",
    "Connection",
    "Departure",
    "Entry",
    "LastAddress",
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
    "Voice",
]
