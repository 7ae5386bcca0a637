"""The live list of all orders."""

from datetime import timedelta
from decimal import Decimal

from realtime.topics import Event
from realtime.topics.live import LiveTopic

from .models import Order

__all__ = ["OrderState", "OrdersTopic"]


class OrderState(Event):
    """The published state of an order."""

    item: str
    total: Decimal
    status: str
    next_status: str


class OrdersTopic(LiveTopic):
    """All orders, for everybody; a real shop would ask for a permission."""

    path = "orders"
    list_of = Order
    row = OrderState
    keep = timedelta(days=7)

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True
