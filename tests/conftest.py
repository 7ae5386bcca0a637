"""Fixtures of the whole suite: servers that start when first asked for, and sites on them."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.lines import all_again
from tests.services import Redis, Services, find_browser
from tests.site import Factory, Sites

pytest.register_assert_rewrite("tests.chatter", "tests.client")


@pytest.fixture(autouse=True)
def _all_lines() -> None:
    """What a test before this one has logged leaves out none of this one's lines."""
    all_again()


@pytest.fixture(autouse=True)
def _no_server() -> None:
    """No test before this one has made the process a server by making a consumer."""
    from realtime.engine.bus.publisher import publisher

    publisher.is_server = False


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    started = Services()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def sites(services: Services) -> Sites:
    return Sites(services)


@pytest.fixture
def make_site(sites: Sites) -> Iterator[Factory]:
    """Makes running sites that end with the test, as `make_site(servers=("uvicorn",))`."""
    with ExitStack() as stack:
        yield partial(sites.make, stack)


@pytest.fixture(scope="module")
def make_shared_site(sites: Sites) -> Iterator[Factory]:
    """As `make_site`, for tests of one file that can share a site."""
    with ExitStack() as stack:
        yield partial(sites.make, stack)


@pytest.fixture(scope="session")
def redis_url(services: Services) -> str:
    """A Redis that other tests use too."""
    return services.redis_url()


@pytest.fixture
def own_redis(services: Services) -> Iterator[Redis]:
    """A Redis that this test may stop, pause and flush."""
    redis = services.own_redis()
    yield redis
    redis.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, sites: Sites) -> str:
    """A fresh, migrated database; the test runs once on SQLite and once on PostgreSQL."""
    return sites.database_url(request.param)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    return find_browser()
