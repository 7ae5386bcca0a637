"""F4: Redis is there and answers nothing."""

import asyncio
import time

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import ROOMS
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, reply_times, settle, some_acks, total, traffic

FROZEN_SECONDS = 8


@fault(
    "F4",
    "Redis frozen (SIGSTOP) for 8 s under traffic, while rooms are opened, both layers",
    must={
        **NOTHING_BROKEN,
        "sockets closed": 0,
        "message answered after, s": 3,
        "command answered after, s": 5,
        "delivered after, s": 10,
    },
    in_topics=True,
)
async def frozen(ground: Ground) -> Figures:
    """New clients come and open rooms that nobody is in, all at once and again and again."""
    return total(
        [await _freeze(ground, layer) for layer in ground.size(["core"], ["core", "pubsub"])]
    )


async def _freeze(ground: Ground, layer: str) -> Figures:
    number, rate = ground.size((8, 10), (20, 20))
    site = ground.make_site(servers=TWO, layer=layer, own_redis=True)
    assert site.redis
    async with traffic(site, number, rate) as chatters:
        await some_acks(chatters)
        for chatter in chatters:
            chatter.waits.clear()
        site.redis.pause()
        until = time.monotonic() + FROZEN_SECONDS
        took = await asyncio.gather(
            *(reply_times(site.urls[turn % 2], room, until) for turn, room in enumerate(ROOMS[3:]))
        )
        site.redis.resume()
        delivered = await settle(chatters, site.database)
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "message answered after, s": max(max(one.waits["message"]) for one in chatters),
        "command answered after, s": max(map(max, took)),
        "delivered after, s": delivered,
        "commands": sum(map(len, took)),
    }
