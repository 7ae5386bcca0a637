"""The topic of all orders: each order is the value of a key."""

from datetime import timedelta
from decimal import Decimal

from realtime.topics import Event, Topic

from .models import Order

__all__ = ["OrderState", "OrdersTopic"]


class OrderState(Event):
    """An order, as the row has it."""

    item: str
    total: Decimal
    status: str
    next_status: str

    @classmethod
    def of(cls, order: Order) -> "OrderState":
        """Return the state of a row."""
        return cls(
            item=order.item,
            total=order.total,
            status=order.status,
            next_status=order.next_status,
        )


class OrdersTopic(Topic):
    """All orders, for everybody; a real shop would ask for a permission."""

    path = "orders"
    events = [OrderState]
    keep = timedelta(days=7)

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True
