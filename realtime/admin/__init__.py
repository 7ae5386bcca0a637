"""The admin: inspect rooms, messages and connections, and moderate."""

from .connections import ConnectionAdmin
from .live import LiveAdmin
from .messages import MessageAdmin
from .nodes import NodeAdmin
from .reports import ReportAdmin
from .rooms import MembershipAdmin, RoomAdmin
from .sanctions import SanctionAdmin
from .traces import TraceAdmin

__all__ = [
    "ConnectionAdmin",
    "LiveAdmin",
    "MembershipAdmin",
    "MessageAdmin",
    "NodeAdmin",
    "ReportAdmin",
    "RoomAdmin",
    "SanctionAdmin",
    "TraceAdmin",
]
