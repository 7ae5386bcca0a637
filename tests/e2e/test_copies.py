"""A copy of a site on the same Redis, with the same prefix, neither hears it nor speaks to it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from harness.client.websocket import Client
from harness.services import create_database
from harness.site import UNLIMITED, Site, Sites

PUSHES = """
import django
django.setup()
from realtime import push
push.user({user!r}).send({{"to": "a user"}})
push.everyone().send({{"to": "everyone"}})
push.room("general").send({{"to": "a room"}})
push.room("general").message("stored", username="script")
push.connection({connection!r}).disconnect("fired")
push.everyone().disconnect("closed")
"""


def copied(sites: Sites, database: str) -> tuple[str, str]:
    """Return the URLs of a database and of its copy."""
    original = sites.database_url(database)
    if database == "sqlite":
        path = Path(original.removeprefix("sqlite:///"))
        copy = path.with_name(f"copy-of-{path.name}")
        shutil.copy(path, copy)
        return original, f"sqlite:///{copy}"
    server, name = sites.services.postgres_url(), sites.services.new_name()
    return original, create_database(server, name, original.rpartition("/")[2])


@pytest.fixture(params=["sqlite", "postgres"])
async def pair(request: pytest.FixtureRequest, sites: Sites) -> AsyncIterator[list[Site]]:
    """A site and its copy, each with one server, on one Redis under one prefix."""
    url, copy = copied(sites, request.param)
    env = {
        "REALTIME_TEST_LAYER": "pubsub",
        "REALTIME_TEST_PREFIX": sites.services.new_name(),
        "REALTIME_TEST_SETTINGS": json.dumps(UNLIMITED),
    }
    redis = sites.services.redis_url()
    both = [
        Site(sites.services.folder, url, redis, env),
        # Another database number makes no difference: publishing has none.
        Site(sites.services.folder, copy, redis.rpartition("/")[0] + "/1", env),
    ]
    try:
        for site in both:
            await asyncio.to_thread(site.start, "daphne")
        yield both
    finally:
        for site in both:
            await asyncio.to_thread(site.stop)


async def test_nothing_crosses_over_between_a_site_and_its_copy(pair: list[Site]) -> None:
    """Not by push from a process without sockets, nor what clients do."""
    site, copy = pair
    async with AsyncExitStack() as stack:
        ours, theirs = [
            await stack.enter_async_context(await Client.connect(each.urls[0])) for each in pair
        ]
        for client in (ours, theirs):
            await client.join("general", history=0)
        welcome = next(item for item in ours.seen if item["type"] == "welcome")
        await ours.send("typing", room="general")
        await ours.send("signal", room="general", data={"from": "a client"})
        code = PUSHES.format(user=welcome["user_id"], connection=welcome["connection"])
        await asyncio.to_thread(copy.run, "-c", code)
        assert await theirs.closed() == 4503
        told = {item["type"] for item in theirs.seen}
        assert told == {"welcome", "joined", "signal", "message", "disconnect"}
        assert [item["data"]["to"] for item in theirs.seen if item["type"] == "signal"] == [
            "everyone",
            "a room",
        ]
        await ours.send("ping")
        await ours.expect("pong")
        foreign = [item for item in ours.seen if item["type"] in ("message", "disconnect")]
        assert foreign == []
        assert [item["data"] for item in ours.seen if item["type"] == "signal"] in (
            [],
            [{"from": "a client"}],
        )
        await asyncio.to_thread(site.run, "-c", code)
        assert await ours.closed() == 4503
