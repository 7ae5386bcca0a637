"""F6: PostgreSQL is restarted under writers: asked to, and crashed."""

import time

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, messages, some_acks, started, stopped, traffic

WRITERS = 8


@fault(
    "F6",
    "PostgreSQL restarted three times under 8 writers, the second time as after a crash",
    must={**NOTHING_BROKEN, "sockets closed": 0, "recovery, s": 2},
    in_topics=True,
)
async def restarted(ground: Ground) -> Figures:
    """What was acknowledged is there; what was not is repeated and stored once."""
    site = ground.make_site(servers=TWO, own_postgres=True)
    postgres = site.postgres
    assert postgres
    recovered: list[float] = []
    async with traffic(site, WRITERS, ground.size(20, 50)) as chatters:
        for turn in range(3):
            await some_acks(chatters)
            if turn == 1:
                postgres.crash()
            else:
                await stopped(postgres)
            await started(postgres)
            recovered.append(await _seconds_until_all_write(chatters))
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "recovery, s": max(recovered),
        "messages": messages(site),
    }


async def _seconds_until_all_write(chatters: list[Chatter]) -> float:
    """Until each has an ack for something that it says now."""
    began = time.monotonic()
    await some_acks(chatters, 1)
    return time.monotonic() - began
