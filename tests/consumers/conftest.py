"""Consumers run on the engine as a site's own tests do: `realtime.testing.engine`."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from pytest_django.plugin import DjangoDbBlocker

from harness.site import UNLIMITED, Sites
from realtime import testing
from realtime.engine.engine import Engine
from realtime.models import Room
from tests.store.conftest import emptied


@pytest.fixture(scope="session")
def sqlite_url(sites: Sites) -> str:
    return sites.database_url("sqlite")


@pytest.fixture
def database(sqlite_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A real, empty SQLite file as the default database."""
    with emptied(sqlite_url, django_db_blocker):
        yield sqlite_url


@pytest.fixture
def room(database: str) -> Room:
    return Room.objects.create(slug="general", title="General")


@pytest.fixture
def private(database: str) -> Room:
    return Room.objects.create(slug="secret", kind="private")


@pytest.fixture
def ada(database: str) -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def bob(database: str) -> Any:
    return get_user_model().objects.create_user("bob")


@pytest.fixture
async def engine(room: Room) -> AsyncIterator[Engine]:
    """The engine, without limits, and with the room "general"."""
    async with testing.engine(GUESTS=True, **UNLIMITED) as running:
        yield running
