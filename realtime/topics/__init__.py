"""Topics of a site: typed events and commands, published from any code, resumed by clients.

class Paid(Event):
    total: Decimal

class OrderTopic(Topic):
    path = "order/<int:pk>"
    events = [Paid]
    keep = timedelta(days=7)
    pk: int

    def may_subscribe(self) -> bool:
        return Order.objects.filter(pk=self.pk, customer=self.identity.user_pk).exists()

OrderTopic(pk=7).publish(Paid(total=order.total))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..wire.costs import Cost
from ..wire.errors import CommandError, ErrorCode
from ..wire.events import Member
from .calls import command
from .resuming import TopicPosition
from .stored import StoredEvent
from .structs import Command, Event, InvalidEvent
from .topic import Topic

if TYPE_CHECKING:
    from ..consumers.topics.site_clients import subscribe, unsubscribe

__all__ = [
    "Command",
    "CommandError",
    "Cost",
    "ErrorCode",
    "Event",
    "InvalidEvent",
    "Member",
    "StoredEvent",
    "Topic",
    "TopicPosition",
    "command",
    "subscribe",
    "unsubscribe",
]

OF_CONSUMERS = {"subscribe", "unsubscribe"}


def __getattr__(name: str) -> Any:
    """Import on first use what belongs to the consumers, which are built on topics."""
    if name not in OF_CONSUMERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("realtime.consumers.topics.site_clients"), name)
