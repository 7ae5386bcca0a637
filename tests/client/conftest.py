"""Clients of `realtime.client`: against real servers, and against a server that is written out."""

from collections.abc import AsyncIterator

import pytest

from harness.site import Factory, Site
from tests.client.scripted import Script


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    """Two server processes with Redis and PostgreSQL."""
    made = make_shared_site(servers=(), urls="tests.e2e.orders")
    made.start("daphne", "daphne", application="tests.e2e.orders_asgi:application")
    return made


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    async with Script() as made:
        yield made
