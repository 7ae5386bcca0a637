"""Publish each change of an order; it is sent if and only if the transaction commits."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from .models import Order
from .topics import OrderState, OrdersTopic

__all__ = ["publish", "publish_deletion"]


@receiver(post_save, sender=Order)
def publish(instance: Order, **kwargs: Any) -> None:
    """Set the value of the order, in the transaction that saves the row."""
    OrdersTopic().set(str(instance.pk), OrderState.of(instance))


@receiver(post_delete, sender=Order)
def publish_deletion(instance: Order, **kwargs: Any) -> None:
    """Delete the value of the order."""
    OrdersTopic().delete(str(instance.pk))
