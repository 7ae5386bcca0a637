"""Fixtures of the whole suite, and the markers that say what each test needs.

The markers `unit`, `servers`, `browser` and `faults` are set here (docs/development.md): each test
has exactly one of them. Servers start when a test first needs them.
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from inspect import signature
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.services import Process, Redis, Services, find_browser
from harness.site import Factory, Sites
from tests.lines import all_again

# Of hypothesis. On a busy machine an example may take any time.
settings.register_profile("usual", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", settings.get_profile("usual"), max_examples=20)
settings.load_profile("usual")

TESTS = Path(__file__).parent
KINDS = ["faults", "browser", "servers", "unit"]
"""In the order in which they run: the long ones first, so that the end is even on all workers."""
SERVED_FIXTURES = {
    "make_site",
    "make_shared_site",
    "redis_url",
    "own_redis",
    "postgres",
    "postgres_database_url",
}
SERVED_PARAMETERS = {"postgres", "pubsub", "core"}
SAME_ON_EACH_PYTHON = {"clients/test_javascript.py", "test_architecture.py"}
"""Files of `unit` tests of JavaScript, and of what stands in the sources."""


def pytest_configure() -> None:
    """Let Ctrl-C end the programs of tests, also below a shell that has pytest ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Give each test its marker, and sort the tests that `-m` leaves by it."""
    for item in items:
        mark(item)
    yield
    items.sort(key=lambda item: KINDS.index(marker_of(item)))


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of garbage collection.

    A full one takes 0.1 s and more with them: a test would take this pause for one of a server.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a `unit` test that starts a server fail, so that the markers stay true."""
    Process.may_start = item.get_closest_marker("unit") is None


def mark(item: pytest.Item) -> None:
    """Give a test without a marker of its own the one that follows from what it uses."""
    if isinstance(item, pytest.Function) and not marker_of(item):
        item.add_marker(kind_of(item))
    if depends_on_python(item):
        item.add_marker("each_python")
    if marker_of(item) == "browser":  # one browser serves all, in one event loop
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def marker_of(item: pytest.Item) -> str:
    """Return which of the markers a test has; empty if none."""
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), "")


def kind_of(item: pytest.Function) -> str:
    """Return the marker that follows from a test's folder, fixtures and parameters."""
    folder = item.path.relative_to(TESTS).parts[0]
    uses_servers = needs_servers(item)
    if folder == "faults":
        return "faults" if uses_servers else "unit"
    if "chromium" in item.fixturenames:
        return "browser"
    return "servers" if uses_servers or folder == "e2e" else "unit"


def depends_on_python(item: pytest.Item) -> bool:
    """Return whether CI tries a test on the newest Python as well.

    SQL, browsers, faults of servers, and every combination of a table are the same on each.
    """
    path = item.path.relative_to(TESTS)
    if item.get_closest_marker("exhaustive") or str(path) in SAME_ON_EACH_PYTHON:
        return False
    kind = marker_of(item)
    return kind == "unit" or (kind == "servers" and path.parts[0] == "engine")


def needs_servers(item: pytest.Function) -> bool:
    """Return whether a test starts Redis, PostgreSQL or a process of the site."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return (
        not SERVED_FIXTURES.isdisjoint(item.fixturenames)
        or any(one in SERVED_PARAMETERS for one in parameters if isinstance(one, str))
        or "services" in signature(item.function).parameters
    )


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
