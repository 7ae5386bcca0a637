"""The site's administrators looking in: rooms, what was said, and who is connected."""

from .connections import ConnectionAdmin
from .messages import MessageAdmin
from .nodes import NodeAdmin
from .rooms import MembershipAdmin, RoomAdmin

__all__ = ["ConnectionAdmin", "MembershipAdmin", "MessageAdmin", "NodeAdmin", "RoomAdmin"]
