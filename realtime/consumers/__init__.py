"""Channels consumers: the base of a site's own, and the chat of this package."""

from ..wire.commands import Command
from ..wire.costs import Cost
from ..wire.errors import CommandError, Disconnect, ErrorCode
from ..wire.events import Done, Outgoing
from .base import Consumer
from .chat import Account, ChatConsumer, Joining, Messages, Moderation, RoomConsumer, Rooms
from .commands import Reply, command
from .handlers import frames
from .topics import Subscribing

__all__ = [
    "Account",
    "ChatConsumer",
    "Command",
    "CommandError",
    "Consumer",
    "Cost",
    "Disconnect",
    "Done",
    "ErrorCode",
    "Joining",
    "Messages",
    "Moderation",
    "Outgoing",
    "Reply",
    "RoomConsumer",
    "Rooms",
    "Subscribing",
    "command",
    "frames",
]
