"""G8: PostgreSQL is there and answers nothing; a server is stopped meanwhile."""

import asyncio
import time

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import ROOMS, UNLIMITED
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, exit_time, messages, reply_times, some_acks, traffic

FROZEN_SECONDS = 8
TRIED_SECONDS = 4
"""For how long a message is tried: less than PostgreSQL is away, so that errors come."""
COMMAND_SECONDS = 5.5
MUST = {
    **NOTHING_BROKEN,
    "message answered after, s": TRIED_SECONDS + 1,
    "command answered after, s": COMMAND_SECONDS,
    "exit while frozen, s": 10,
    "recovery, s": 5,
}


@fault(
    "G8",
    "PostgreSQL frozen (SIGSTOP) for 8 s under traffic, and once more while a server is stopped",
    must=MUST,
    in_topics=True,
    # A call has the time of a command, and the code of the site goes before it.
    must_in_topics={**MUST, "message answered after, s": COMMAND_SECONDS + 1},
)
async def frozen(ground: Ground) -> Figures:
    """Who asks gets an error in time, and repeats: what was committed after all is there once."""
    number, rate = ground.size((8, 5), (50, 5))
    settings = {**UNLIMITED, "WRITE_TIMEOUT_SECONDS": TRIED_SECONDS}
    site = ground.make_site(servers=TWO, own_postgres=True, settings=settings)
    postgres = site.postgres
    assert postgres
    async with traffic(site, number, rate) as chatters:
        await some_acks(chatters)
        postgres.pause()
        until = time.monotonic() + FROZEN_SECONDS
        took = await asyncio.gather(
            *(reply_times(site.urls[turn % 2], room, until) for turn, room in enumerate(ROOMS[5:9]))
        )
        postgres.resume()
        recovery = time.monotonic()
        await some_acks(chatters)
        recovered = time.monotonic() - recovery
        postgres.pause()
        exit_seconds = await exit_time(site.servers[1])
        postgres.resume()
        await some_acks(chatters)
    return {
        **reckon(chatters, site.database),
        "message answered after, s": max(max(one.waits["message"]) for one in chatters),
        "command answered after, s": max(map(max, took)),
        "exit while frozen, s": exit_seconds,
        "recovery, s": recovered,
        "messages": messages(site),
    }
