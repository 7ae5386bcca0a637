"""The chat: groups of commands. A site can leave out groups that it does not want."""

from .account import Account
from .joining import Joining
from .messages import Messages
from .moderation import Moderation
from .rooms import Rooms

__all__ = ["Account", "ChatConsumer", "Joining", "Messages", "Moderation", "RoomConsumer", "Rooms"]


class RoomConsumer(Messages, Joining):
    """A connection with the commands to join rooms, and to write and read in them."""


class ChatConsumer(Account, Messages, Rooms, Moderation, Joining):
    """A connection with all commands of docs/protocol.md."""
