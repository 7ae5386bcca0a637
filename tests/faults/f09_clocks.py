"""F9: the clocks of the servers differ."""

import asyncio

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import clients, ends, inside, settle, some_acks, talking, total

SHIFTS = ("0", "-2", "61")
SHIFTED = "tests.faults._shifted:application"


@fault(
    "F9",
    "three servers whose clocks are 2 s late and 61 s early, both layers",
    must={
        **NOTHING_BROKEN,
        "sockets closed": 0,
        "nodes taken for dead": 0,
        "missing from the members": 0,
    },
)
async def clocks(ground: Ground) -> Figures:
    """Nothing is reordered, lost or taken for dead; clients also move from clock to clock."""
    layers = ground.size(["core"], ["core", "pubsub"])
    return total([await _shift(ground, layer) for layer in layers])


async def _shift(ground: Ground, layer: str) -> Figures:
    number, rate, seconds, lease = ground.size((6, 20, 4, 2), (30, 20, 60, 30))
    settings = {**UNLIMITED, "LEASE_SECONDS": lease, "PULSE_SECONDS": lease / 6}
    site = ground.make_site(servers=(), layer=layer, settings=settings)
    for shift in SHIFTS:
        site.start("daphne", application=SHIFTED, REALTIME_TEST_CLOCK=shift)
    async with inside(clients(site, number)) as chatters:
        async with talking(chatters, rate):
            await asyncio.sleep(seconds / 2)
            await asyncio.gather(*(chatter.move() for chatter in chatters))
            await some_acks(chatters)
            await asyncio.sleep(seconds / 2)
        await settle(chatters, site.database)
        missing = number - await _present(site)
        closed = ends(chatters) - number
    return {
        **reckon(chatters, site.database),
        "sockets closed": closed,
        "nodes taken for dead": sum(server.log().count("is dead") for server in site.servers),
        "missing from the members": missing,
    }


async def _present(site: Site) -> int:
    """How many a newcomer finds."""
    async with await Client.connect(site.urls[0]) as client:
        return int((await client.join("general"))["count"]) - 1
