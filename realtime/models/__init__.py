"""The tables: rooms and their logs, who belongs to them, who is connected, who may not."""

from .access import RevokedToken, Rights
from .live import Connection, Node, Presence
from .moderation import Report, Sanction
from .rooms import Head, Membership, Message, Room

__all__ = [
    "Connection",
    "Head",
    "Membership",
    "Message",
    "Node",
    "Presence",
    "Report",
    "RevokedToken",
    "Rights",
    "Room",
    "Sanction",
]
