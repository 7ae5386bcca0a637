"""The tables: rooms and their logs, who belongs to them, and who is connected now."""

from .live import Connection, Node, Presence
from .rooms import Head, Membership, Message, Room

__all__ = ["Connection", "Head", "Membership", "Message", "Node", "Presence", "Room"]
