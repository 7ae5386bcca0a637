"""F1: one of two servers is killed under traffic, and comes back; then the other one."""

import asyncio

from harness.client.consistency import NOTHING_BROKEN, reckon
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import p99
from tests.faults.traffic import TWO, back, ends, messages, some_acks, started, traffic


@fault(
    "F1",
    "kill -9 of one of two servers under traffic, in turn",
    must={**NOTHING_BROKEN, "sockets of others closed": 0, "resumed p99, s": 5},
    in_topics=True,
)
async def killed(ground: Ground) -> Figures:
    """Its clients resume at the other server, repeat what is unanswered, and later go home."""
    number, rate, kills = ground.size((20, 10, 2), (50, 20, 5))
    site = ground.make_site(servers=TWO)
    resumed: list[float] = []
    expected = 0
    async with traffic(site, number, rate) as chatters:
        for turn in range(kills):
            victim, mine = site.servers[turn % 2], chatters[turn % 2 :: 2]
            await some_acks(chatters)
            victim.kill()
            resumed += await back(mine)
            await started(victim)
            await asyncio.gather(*(chatter.move() for chatter in mine))
            expected += 2 * len(mine)
    return {
        **reckon(chatters, site.database),
        "sockets of others closed": ends(chatters) - expected,
        "resumed p99, s": p99(resumed),
        "clients": number,
        "kills": kills,
        "messages": messages(site),
    }
