"""The table of orders."""

from itertools import pairwise

from django.db import models

__all__ = ["Order"]


class Order(models.Model):
    """An order of one item."""

    class Status(models.TextChoices):
        """The steps of an order."""

        PLACED = "placed"
        PAID = "paid"
        SENT = "sent"

    item = models.CharField(max_length=60)
    total = models.DecimalField(max_digits=8, decimal_places=2)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLACED)

    def __str__(self) -> str:
        return f"{self.pk}: {self.item}"

    @property
    def next_status(self) -> str:
        """The step that follows, or nothing after the last one."""
        steps = list(self.Status.values)
        return dict(pairwise(steps)).get(self.status, "")
