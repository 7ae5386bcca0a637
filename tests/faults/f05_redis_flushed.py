"""F5: Redis forgets everything, and tells nobody."""

import time

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import UNLIMITED
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ROOMS, TWO, all_reach, ends, some_acks, total, traffic

AT_ONCE_SECONDS = 0.5
"""A message that comes so soon has come through the layer, and not by the pulse."""
RUNNING = 5


@fault(
    "F5",
    "FLUSHALL under traffic, both layers",
    must={**NOTHING_BROKEN, "sockets closed": 0, "all receive at once again after, s": 10},
    in_topics=True,
)
async def flushed(ground: Ground) -> Figures:
    """Everybody hears the other process again, and has what was said in between."""
    layers = ground.size(["core"], ["core", "pubsub"])
    return total([await _flush(ground, layer) for layer in layers])


async def _flush(ground: Ground, layer: str) -> Figures:
    number, rate, pulse = ground.size((10, 5, 1), (20, 20, 5))
    settings = {**UNLIMITED, "PULSE_SECONDS": pulse}
    site = ground.make_site(servers=TWO, layer=layer, own_redis=True, settings=settings)
    assert site.redis
    async with traffic(site, number, rate) as chatters:
        await some_acks(chatters)
        site.redis.flush()
        heard = await _seconds_until_heard(chatters)
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "all receive at once again after, s": heard,
    }


async def _seconds_until_heard(chatters: list[Chatter]) -> float:
    """Until five messages running, from either process in turn, reached everybody at once."""
    began, running, turn = time.monotonic(), 0, 0
    while running < RUNNING:
        turn += 1
        room = ROOMS[1 + turn % 2]
        ack = await chatters[turn % 2].say(room, f"heard? {turn}")
        said = time.monotonic()
        await all_reach(chatters, room, ack["seq"])
        running = running + 1 if time.monotonic() - said < AT_ONCE_SECONDS else 0
    return time.monotonic() - began
