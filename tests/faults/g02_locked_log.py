"""G2: somebody else holds the lock of one room's log."""

import asyncio
import statistics
import time

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, clients, ends, inside, settle

LOCKED, FREE = "general", "room-0"


@fault(
    "G2",
    "the log of one room locked by another transaction for 5 s",
    must={
        **NOTHING_BROKEN,
        "sockets closed": 0,
        "acks in other rooms, median, s": 0.25,
        "acks in other rooms, s": 2,
        "acks in its room before the release": 0,
        "acks in its room after the release, s": 2,
    },
    in_topics=True,
)
async def locked(ground: Ground) -> Figures:
    """Its room waits; the same clients' messages to another room do not."""
    seconds = ground.size(2.5, 5)
    site = ground.make_site(servers=TWO)
    async with inside(clients(site, 4)) as chatters:
        await chatters[0].say(LOCKED, "so that there is a log")
        with site.database.connect() as holder:
            site.database.lock(holder, LOCKED)
            waiting = [
                asyncio.create_task(chatter.say(LOCKED, f"{chatter.name} waits"))
                for chatter in chatters
            ]
            until = time.monotonic() + seconds
            took = await asyncio.gather(*(_ack_times(chatter, until) for chatter in chatters))
            early = sum(one.done() for one in waiting)
            holder.rollback()
        released = time.monotonic()
        await asyncio.wait(waiting, timeout=30)
        late = time.monotonic() - released
        await settle(chatters, site.database)
    times = [one for some in took for one in some]
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "acks in other rooms, median, s": statistics.median(times),
        "acks in other rooms, s": max(times),
        "acks in its room before the release": early,
        "acks in its room after the release, s": late,
    }


async def _ack_times(chatter: Chatter, until: float) -> list[float]:
    """Say one thing after the other in the free room; how long each ack took."""
    took: list[float] = []
    while (began := time.monotonic()) < until:
        await chatter.say(FREE, f"{chatter.name} {len(took)}")
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
    return took
