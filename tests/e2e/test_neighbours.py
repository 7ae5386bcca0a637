"""Two processes on one SQLite file without a channel layer: neither takes the other for dead."""

import asyncio

from harness.client.websocket import Client
from harness.site import Factory, Site
from harness.waiting import eventually

WARNING = "serves this database too"
ROWS = """
import django
django.setup()
from realtime.models import Connection, Node
print(Node.objects.filter(reaper="").count(), Connection.objects.count())
"""


async def rows(site: Site) -> tuple[int, int]:
    """Return how many nodes and connections stand in the tables."""
    nodes, connections = (await asyncio.to_thread(site.run, "-c", ROWS)).split()
    return int(nodes), int(connections)


async def reached(site: Site, wanted: tuple[int, int]) -> None:
    async with asyncio.timeout(20):
        while await rows(site) != wanted:
            pass


async def test_a_second_process_leaves_the_first_one_alone(make_site: Factory) -> None:
    """Both stay in the tables with their clients, and say what is amiss."""
    site = make_site(database="sqlite", layer="memory", servers=("daphne",))
    async with await Client.connect(site.urls[0]) as first:
        await first.join("general")
        await reached(site, (1, 1))
        await asyncio.to_thread(site.start, "daphne")
        async with await Client.connect(site.urls[1]) as second:
            await second.join("general")
            await second.say("general", "hi")
            await reached(site, (2, 2))
            assert (await first.expect("message"))["content"] == "hi"
            await second.send("presence", room="general", ref=1)
            assert (await second.expect("presence", ref=1))["count"] == 2
            assert await rows(site) == (2, 2)
            await eventually(lambda: all(WARNING in one.log() for one in site.servers))
            assert not any("is dead" in server.log() for server in site.servers)


async def test_a_process_that_was_killed_leaves_no_ghost_for_the_next(make_site: Factory) -> None:
    """The next one buries it at once, not when its lease has run out."""
    site = make_site(database="sqlite", layer="memory", servers=("daphne",))
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general")
        await reached(site, (1, 1))
        await asyncio.to_thread(site.servers[0].kill)
    await asyncio.to_thread(site.start, "daphne")
    async with await Client.connect(site.urls[1]) as client:
        await client.join("general")
        await reached(site, (1, 1))
