"""The site's administrators looking in, and keeping order."""

from .connections import ConnectionAdmin
from .messages import MessageAdmin
from .moderation import ReportAdmin, SanctionAdmin
from .nodes import NodeAdmin
from .rooms import MembershipAdmin, RoomAdmin

__all__ = [
    "ConnectionAdmin",
    "MembershipAdmin",
    "MessageAdmin",
    "NodeAdmin",
    "ReportAdmin",
    "RoomAdmin",
    "SanctionAdmin",
]
