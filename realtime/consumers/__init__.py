"""Channels consumers: the base of a site's own, and the chat of this package."""

from ..wire.commands import Command
from ..wire.costs import Cost
from ..wire.errors import CommandError, Disconnect, ErrorCode
from ..wire.events import Done, Outgoing
from .base import Consumer
from .chat import ChatConsumer
from .commands import Reply, command
from .rooms import RoomConsumer

__all__ = [
    "ChatConsumer",
    "Command",
    "CommandError",
    "Consumer",
    "Cost",
    "Disconnect",
    "Done",
    "ErrorCode",
    "Outgoing",
    "Reply",
    "RoomConsumer",
    "command",
]
