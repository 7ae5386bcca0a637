"""Engine tests run in one event loop on real databases and real channel layers."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.services import Services
from harness.settings import layers
from harness.site import Sites
from realtime.engine.database.executor import Database
from realtime.models import Room
from tests.store.conftest import emptied

UseLayer = Callable[[str, str], None]


@pytest.fixture(scope="session")
def sqlite_url(sites: Sites) -> str:
    return sites.database_url("sqlite")


@pytest.fixture(scope="session")
def postgres_database_url(sites: Sites) -> str:
    return sites.database_url("postgres")


@pytest.fixture
def sqlite(sqlite_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A real, empty SQLite file as the default database."""
    with emptied(sqlite_url, django_db_blocker):
        yield sqlite_url


@pytest.fixture
def postgres(postgres_database_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A real, empty PostgreSQL database as the default one."""
    with emptied(postgres_database_url, django_db_blocker):
        yield postgres_database_url


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> str:
    """The test runs once on each database."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def db() -> AsyncIterator[Database]:
    """The executor, whose threads and connections end with the test."""
    made = Database()
    yield made
    await made.stop()


@pytest.fixture
def make_room() -> Callable[[str], Room]:
    """Makes rooms; request a fixture of a database before it."""
    return lambda slug: Room.objects.create(slug=slug)


@pytest.fixture
def use_layer(settings: Settings) -> UseLayer:
    """Sets the channel layer: memory, pubsub or core, at a Redis URL, under a prefix of its own."""

    def use(name: str, url: str) -> None:
        settings.CHANNEL_LAYERS = {"default": layers(name, url, prefix=uuid.uuid4().hex[:8])}

    return use


@pytest.fixture(params=["memory", "pubsub", "core"])
def any_layer(request: pytest.FixtureRequest, use_layer: UseLayer, services: Services) -> Any:
    """The name of the channel layer that is in use."""
    use_layer(request.param, "" if request.param == "memory" else services.redis_url())
    return request.param
