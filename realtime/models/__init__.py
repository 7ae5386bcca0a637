"""The tables: rooms with their logs and members, connections, sanctions, names and tokens."""

from .access import RevokedToken, Rights
from .live import Connection, Node, Presence
from .moderation import Block, Report, Sanction
from .people import LastAddress, Look, Voice
from .rooms import Departure, Head, Membership, Message, Room

__all__ = [
    "Block",
    "Connection",
    "Departure",
    "Head",
    "LastAddress",
    "Look",
    "Membership",
    "Message",
    "Node",
    "Presence",
    "Report",
    "RevokedToken",
    "Rights",
    "Room",
    "Sanction",
    "Voice",
]
