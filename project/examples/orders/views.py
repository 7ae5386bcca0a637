"""Views that change orders; they know nothing of sockets."""

import random
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from .models import Order
from .topics import OrdersTopic

__all__ = ["advance", "cancel", "context", "fail", "place"]

ITEMS = ("Tea", "Coffee", "Cake", "Soup", "Bread")
KEPT_ORDERS = 12


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the topic of the page."""
    return {"topic": OrdersTopic().name}


@require_POST
@transaction.atomic
def place(request: HttpRequest) -> HttpResponse:
    """Place an order of a random item, and remove the oldest ones."""
    total = Decimal(random.randrange(200, 2000)) / 100  # noqa: S311
    Order.objects.create(item=random.choice(ITEMS), total=total)  # noqa: S311
    kept = Order.objects.order_by("-pk").values("pk")[:KEPT_ORDERS]
    Order.objects.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
    return HttpResponse(status=204)


@require_POST
@transaction.atomic
def advance(request: HttpRequest, pk: int) -> HttpResponse:
    """Move an order to its next step."""
    order = get_object_or_404(Order.objects.select_for_update(), pk=pk)
    if order.next_status:
        order.status = order.next_status
        order.save()
    return HttpResponse(status=204)


@require_POST
def fail(request: HttpRequest, pk: int) -> HttpResponse:
    """Change an order in a transaction that is rolled back: no page hears of it."""
    with transaction.atomic():
        order = get_object_or_404(Order.objects.select_for_update(), pk=pk)
        order.item = "This was rolled back"
        order.save()
        transaction.set_rollback(True)
    return HttpResponse("The payment failed, so nothing was changed.", status=409)


@require_POST
@transaction.atomic
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an order."""
    get_object_or_404(Order, pk=pk).delete()
    return HttpResponse(status=204)
