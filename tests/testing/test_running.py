"""A site's own tests: `realtime.testing.engine` in Django's test cases."""

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites, environment, run
from realtime import testing
from realtime.conf import Config, config
from realtime.engine.engine import Engine
from realtime.models import Node
from tests.store.conftest import switched


@pytest.fixture
def database(sites: Sites, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A real SQLite file."""
    with django_db_blocker.unblock(), switched(sites.database_url("sqlite")):
        yield


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_sites_tests_pass_and_leave_no_connection(kind: str, sites: Sites) -> None:
    """A connection that is left would keep `manage.py test` from dropping its database.

    On PostgreSQL they run in two processes, each with a database of its own.
    """
    url = sites.database_url(kind)
    command = ["-W", "error::ResourceWarning", "-m", "django", "test", "tests.sitecase", "-v", "2"]
    parallel = ["--parallel", "2"] if kind == "postgres" else []
    assert "Found 10 test(s)." in run(*command, *parallel, env=environment(url), seconds=60)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_site_may_have_users_of_its_own(kind: str, sites: Sites) -> None:
    """With other keys, and without what Django's own users have besides."""
    other = environment(sites.database_url(kind), DJANGO_SETTINGS_MODULE="tests.others.settings")
    command = [
        "-W",
        "error::ResourceWarning",
        "-m",
        "django",
        "test",
        "tests.others.case",
        "-v",
        "2",
    ]
    assert "Found 1 test(s)." in run(*command, env=other, seconds=60)


@pytest.mark.parametrize("layer", ["memory", "pubsub"])
def test_a_sites_tests_end_without_the_block_too(layer: str, sites: Sites, redis_url: str) -> None:
    """A library that lost the one cancellation of `asyncio.run` kept every second such run."""
    env = environment(
        sites.database_url("sqlite"),
        redis_url if layer == "pubsub" else "",
        REALTIME_TEST_PREFIX=uuid.uuid4().hex,
    )
    command = ["-m", "django", "test", "tests.unstoppedcase", "-v", "2"]
    assert "Found 20 test(s)." in run(*command, env=env, seconds=100)


async def test_the_engine_is_there_for_the_block_only(database: None) -> None:
    """Afterwards nothing runs, and a new block has a new engine."""
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    async with testing.engine() as first:
        assert await Engine.current() is first
        assert Engine.running() is first
    assert Engine.running() is None
    assert len(asyncio.all_tasks()) == tasks
    async with testing.engine() as second:
        assert second is not first
    assert threading.active_count() <= threads + 1  # asgiref keeps one of its own


async def test_settings_hold_for_the_block_only(database: None) -> None:
    """Given keys go over the site's own, and the threads are Django's."""
    before = settings.REALTIME
    async with testing.engine(HEARTBEAT_SECONDS=7):
        assert (config().heartbeat_seconds, config().db_threads) == (7, 0)
        assert config().guests is before["GUESTS"]
    assert before == settings.REALTIME
    assert config().heartbeat_seconds == 20


async def test_an_error_in_the_block_stops_the_engine_all_the_same(database: None) -> None:
    """The next test is not to blame."""
    with pytest.raises(ZeroDivisionError):
        async with testing.engine():
            raise ZeroDivisionError
    assert Engine.running() is None


async def test_the_engine_leaves_no_row(database: None) -> None:
    """Its node is taken off the tables."""
    async with testing.engine() as engine:
        while not await Node.objects.filter(pk=engine.node.id).aexists():
            await asyncio.sleep(0)
    assert await Node.objects.acount() == 0


@pytest.mark.parametrize("inside", ["REALTIME", "SESSION_ENGINE"])
@pytest.mark.parametrize("is_ended_late", [True, False])
async def test_an_engine_leaves_no_settings_behind(
    database: None, inside: str, is_ended_late: bool
) -> None:
    """Also where an override that began inside of its block ends after it."""
    before = getattr(settings, "REALTIME", {})
    other = override_settings(**{inside: {**before, "DB_THREADS": 2}})
    async with testing.engine(GUESTS=False):
        other.enable()
        if not is_ended_late:
            other.disable()
    if is_ended_late:
        other.disable()
    assert before == settings.REALTIME
    assert config().db_threads == Config().db_threads
