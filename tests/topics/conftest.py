"""The classes of each test are forgotten after it, so that their paths may be the same."""

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from realtime.topics.registry import Registry, registry
from tests.store.conftest import emptied


@pytest.fixture(autouse=True)
def classes() -> Iterator[Registry]:
    """The registry, in which only the classes of this test are."""
    with registry.isolated() as isolated:
        yield isolated


@pytest.fixture(params=["sqlite", "postgres"])
def database(
    request: pytest.FixtureRequest, sites: Sites, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A real and empty database, in which transactions commit."""
    with emptied(sites.database_url(request.param), django_db_blocker):
        yield str(request.param)
