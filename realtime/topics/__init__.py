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

from ..wire.costs import Cost
from ..wire.errors import CommandError, ErrorCode
from .calls import command
from .resuming import TopicPosition
from .site_sockets import subscribe, unsubscribe
from .stored import StoredEvent
from .structs import Command, Event, InvalidEvent
from .topic import Topic

__all__ = [
    "Command",
    "CommandError",
    "Cost",
    "ErrorCode",
    "Event",
    "InvalidEvent",
    "StoredEvent",
    "Topic",
    "TopicPosition",
    "command",
    "subscribe",
    "unsubscribe",
]
