"""The chat: groups of commands, of which a site can leave out what it does not want."""

from .account import Account
from .joining import Joining
from .messages import Messages
from .moderation import Moderation
from .rooms import Rooms

__all__ = ["Account", "ChatConsumer", "Joining", "Messages", "Moderation", "RoomConsumer", "Rooms"]


class RoomConsumer(Messages, Joining):
    """A connection that can only be in rooms."""


class ChatConsumer(Account, Messages, Rooms, Moderation, Joining):
    """A connection that has all commands of docs/protocol.md."""
