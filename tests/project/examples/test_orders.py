"""Orders: plain views change rows, and subscribers get what is committed."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client as Browser

from project.examples.orders import views
from project.examples.orders.models import Order
from project.examples.orders.topics import OrdersTopic
from realtime.testing import committing, connect

pytestmark = pytest.mark.django_db
ORDERS = "/examples/orders/"


def states() -> dict[str, str]:
    """Return the status of each order as the topic has it."""
    return {key: one.data["status"] for key, one in OrdersTopic().values().items()}


def test_an_order_goes_its_way(client: Browser) -> None:
    """The topic has what the table has, after each step."""
    for path, expected in (("place/", "placed"), ("advance/", "paid"), ("advance/", "sent")):
        place = ORDERS if path == "place/" else f"{ORDERS}{Order.objects.get().pk}/"
        with committing():
            assert client.post(f"{place}{path}").status_code == 204
        assert list(states().values()) == [expected]
        assert Order.objects.get().status == expected
    pk = Order.objects.get().pk
    with committing():
        assert client.post(f"{ORDERS}{pk}/cancel/").status_code == 204
    assert states() == {}


def test_a_transaction_that_is_rolled_back_is_not_told(client: Browser) -> None:
    with committing():
        client.post(f"{ORDERS}place/")
    [order] = Order.objects.all()
    before = OrdersTopic().get(str(order.pk))
    with committing():
        assert client.post(f"{ORDERS}{order.pk}/fail/").status_code == 409
    assert OrdersTopic().get(str(order.pk)) == before
    assert Order.objects.get().item == order.item


def test_old_orders_are_removed_with_their_values(
    client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "KEPT_ORDERS", 2)
    for _ in range(3):
        with committing():
            client.post(f"{ORDERS}place/")
    assert set(states()) == {str(one.pk) for one in Order.objects.all()}
    assert len(states()) == 2


@pytest.mark.parametrize("path", ["place/", "1/advance/", "1/fail/", "1/cancel/"])
def test_a_link_changes_nothing(client: Browser, path: str) -> None:
    assert client.get(f"{ORDERS}{path}").status_code == 405


@pytest.mark.parametrize("path", ["1/advance/", "1/fail/", "1/cancel/"])
def test_an_unknown_order_is_not_found(client: Browser, path: str) -> None:
    assert client.post(f"{ORDERS}{path}").status_code == 404


def test_a_form_of_a_foreign_page_is_refused() -> None:
    assert Browser(enforce_csrf_checks=True).post(f"{ORDERS}place/").status_code == 403


@pytest.mark.realtime
async def test_an_open_page_hears_of_a_change() -> None:
    def change() -> Any:
        return Order.objects.create(item="Tea", total="3.50")

    async with connect() as client:
        await client.subscribe("orders")
        async with committing():
            order = await sync_to_async(change)()
        event = await client.next("event", key=str(order.pk))
        assert event["data"] == {
            "item": "Tea",
            "total": "3.50",
            "status": "placed",
            "next_status": "paid",
        }
