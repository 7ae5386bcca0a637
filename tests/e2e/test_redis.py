"""Redis stops, forgets or loses: the database is the log, so everybody still gets everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.chatter import Chatter, all_caught_up, compare
from tests.site import Factory, Site

ROOMS = ["general", "room-1"]
REAL_LAYERS = pytest.mark.parametrize("layer", ["pubsub", "core"])


@REAL_LAYERS
async def test_a_redis_that_is_away_for_three_seconds_and_comes_back_empty(
    make_site: Factory, layer: str
) -> None:
    """No socket closes, and all that was committed meanwhile arrives within ten seconds."""
    site = make_site(servers=("daphne", "daphne"), layer=layer, own_redis=True)
    assert site.redis
    async with _traffic(site) as chatters:
        await _some_acks(chatters)
        site.redis.stop()
        await asyncio.sleep(3)
        site.redis.start()
    assert [loss for chatter in chatters for loss in chatter.losses] == []


@REAL_LAYERS
async def test_a_flushed_redis_deafens_nobody(make_site: Factory, layer: str) -> None:
    """After FLUSHALL in mid-traffic all receive again within ten seconds, and miss nothing."""
    site = make_site(servers=("daphne", "daphne"), layer=layer, own_redis=True)
    assert site.redis
    async with _traffic(site) as chatters:
        await _some_acks(chatters)
        site.redis.flush()
        await _some_acks(chatters)
    assert [loss for chatter in chatters for loss in chatter.losses] == []


async def test_a_layer_that_loses_a_third_of_its_messages_costs_nobody_any(
    make_site: Factory,
) -> None:
    """The layer drops in silence; every client still has everything, in order."""
    site = make_site(servers=("daphne", "daphne"), layer="lossy")
    async with _traffic(site) as chatters:
        for _ in range(5):
            await _some_acks(chatters)
    for server in site.servers:
        assert server.log().count("lost a message for") > 10


@asynccontextmanager
async def _traffic(site: Site) -> AsyncIterator[list[Chatter]]:
    """Ten clients that keep talking; ten seconds after the end all of them have everything."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        chatters = [
            await stack.enter_async_context(
                Chatter(f"client {number}", [site.urls[number % 2]], ROOMS)
            )
            for number in range(10)
        ]
        talk = [asyncio.create_task(_talk(chatter, stop)) for chatter in chatters]
        yield chatters
        stop.set()
        await asyncio.wait_for(asyncio.gather(*talk), 10)
        await all_caught_up(chatters, site.database, 10)
        compare(chatters, site.database)


async def _talk(chatter: Chatter, stop: asyncio.Event) -> None:
    turn = 0
    while not stop.is_set():
        turn += 1
        await asyncio.gather(
            *(chatter.say(room, f"{chatter.name} {turn}") for room in ROOMS), asyncio.sleep(0.05)
        )


async def _some_acks(chatters: list[Chatter], number: int = 10) -> None:
    """Wait until every client got that many more messages acknowledged."""
    ends = [len(chatter.acks) + number for chatter in chatters]
    for chatter, end in zip(chatters, ends, strict=True):
        await chatter.until(lambda chatter=chatter, end=end: len(chatter.acks) >= end)
