"""Two processes on one SQLite file without a channel layer: neither takes the other for dead."""

import asyncio

from harness.site import Factory, Site
from harness.waiting import eventually
from realtime.client import Client, MessageEvent

WARNING = "serves this database too"
LIVE_NODES = "SELECT count(*) FROM realtime_node WHERE reaper = ''"


def rows(site: Site) -> tuple[int, int]:
    """Return how many nodes and connections stand in the tables."""
    return site.database.rows(LIVE_NODES)[0][0], site.database.count("connection")


async def reached(site: Site, wanted: tuple[int, int]) -> None:
    await eventually(lambda: rows(site) == wanted)


async def test_a_second_process_leaves_the_first_one_alone(make_site: Factory) -> None:
    """Both stay in the tables with their clients, and say what is amiss."""
    site = make_site(database="sqlite", layer="memory", servers=("daphne",))
    async with asyncio.timeout(120), Client(site.urls[0]) as first:
        heard = (await first.room("general").join()).events(MessageEvent)
        await reached(site, (1, 1))
        await asyncio.to_thread(site.start, "daphne")
        async with Client(site.urls[1]) as second:
            room = await second.room("general").join()
            await room.send("hi")
            await reached(site, (2, 2))
            assert (await anext(heard)).content == "hi"
            assert (await room.presence()).count == 2
            assert rows(site) == (2, 2)
            await eventually(lambda: all(WARNING in one.log() for one in site.servers))
            assert not any("is dead" in server.log() for server in site.servers)


async def test_a_process_that_was_killed_leaves_no_ghost_for_the_next(make_site: Factory) -> None:
    """The next one buries it at once, not when its lease has run out."""
    site = make_site(database="sqlite", layer="memory", servers=("daphne",))
    async with Client(site.urls[0]) as client:
        await client.room("general").join()
        await reached(site, (1, 1))
        await asyncio.to_thread(site.servers[0].kill)
    await asyncio.to_thread(site.start, "daphne")
    async with Client(site.urls[1]) as client:
        await client.room("general").join()
        await reached(site, (1, 1))
