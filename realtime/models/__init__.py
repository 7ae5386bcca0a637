"""The tables: rooms and their logs, who belongs to them, who is connected, who may not."""

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
