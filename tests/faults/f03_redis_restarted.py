"""F3: Redis goes away under traffic and comes back, with and without what it knew."""

import asyncio

from harness.client.consistency import NOTHING_BROKEN, reckon
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, settle, some_acks, started, stopped, total, traffic

AWAY_SECONDS = 3


@fault(
    "F3",
    "Redis stopped and started again after 3 s, empty and with its data, both layers",
    must={**NOTHING_BROKEN, "sockets closed": 0, "delivered after its return, s": 10},
    in_topics=True,
)
async def restarted(ground: Ground) -> Figures:
    """What is committed meanwhile reaches everybody, also from the other process."""
    every = [("core", True), ("pubsub", False), ("core", False), ("pubsub", True)]
    runs = every[: ground.size(2, 4)]
    return total([await _restart(ground, layer, keeps_data) for layer, keeps_data in runs])


async def _restart(ground: Ground, layer: str, keeps_data: bool) -> Figures:
    number, rate = ground.size((10, 10), (20, 20))
    site = ground.make_site(servers=TWO, layer=layer, own_redis=True, keeps_data=keeps_data)
    assert site.redis
    async with traffic(site, number, rate) as chatters:
        await some_acks(chatters)
        await stopped(site.redis)
        await asyncio.sleep(AWAY_SECONDS)
        await started(site.redis)
        delivered = await settle(chatters, site.database)
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "delivered after its return, s": delivered,
    }
