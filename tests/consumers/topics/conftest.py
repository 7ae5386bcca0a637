"""The topics of a small site, and an order that ada may see."""

from collections.abc import Iterator
from typing import Any

import pytest

from realtime.models import Membership, Room
from realtime.topics.registry import registry
from tests.consumers.topics.shop import Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    with registry.isolated():
        made = Shop()
        yield made
        made.gate.open.set()
        made.asking.open.set()


@pytest.fixture
def order(shop: Shop, private: Room, ada: Any) -> Any:
    """The topic of an order of ada."""
    Membership.objects.create(room=private, user=ada)
    return shop.OrderTopic(pk=private.pk)
