"""G10: a standby that lags becomes the primary: what it lacks was acknowledged and shown."""

import asyncio
import time
from contextlib import suppress

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.services import Copy
from harness.site import Site
from tests.faults._standby import Pair, with_standby
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ROOMS, clients, inside, messages, settle, some_acks, talking
from tests.proxy import Proxy

WRITERS = 8
LOST = 10
"""How many messages of each client the standby lacks, at least."""


@fault(
    "G10",
    "a standby promoted without the last commits, while one client is away and one is gone",
    must={**NOTHING_BROKEN, "not told to begin anew": 0, "told after, s": 5},
    in_topics=True,
)
async def lagging(ground: Ground) -> Figures:
    """Nobody shows what is lost; who is there sends again what was acknowledged to it."""
    with with_standby(ground) as pair:
        site = pair.site
        async with Proxy(site.servers[0].port) as line:
            everybody = [*clients(site, WRITERS, may_restart=True), _by(line, site)]
            async with inside(everybody) as chatters:
                *present, away = chatters
                async with talking(present, ground.size(20, 50)):
                    await some_acks(chatters[:1], LOST)
                    await _lag(pair.standby, present, site)
                    line.cut()
                    took = await _failed_over(pair, present)
                    line.restore()
                    await away.until(lambda: away.is_inside)
                await settle(chatters, site.database)
                lacking = reckon(chatters, site.database)
            count = messages(site)
    return {
        **lacking,
        "not told to begin anew": [bool(one.restarts) for one in chatters].count(False),
        "told after, s": took,
        "sent again": sum(one.resent for one in chatters),
        "messages": count,
    }


def _by(line: Proxy, site: Site) -> Chatter:
    url = f"ws://127.0.0.1:{line.port}/ws"
    return site.client("away", [url], ROOMS, "ndjson", may_restart=True)


async def _lag(standby: Copy, present: list[Chatter], site: Site) -> None:
    """Let clients send what the standby lacks; one of them leaves for good after it."""
    await asyncio.to_thread(standby.cut_off)
    async with site.client("gone", site.urls, ROOMS, may_restart=True) as gone:
        await asyncio.gather(*(gone.say(room, f"lost {n}") for room in ROOMS for n in range(LOST)))
        await some_acks(present, LOST)


async def _failed_over(pair: Pair, present: list[Chatter]) -> float:
    """Fail over; return how long after the first new message the last client knew of it."""
    await asyncio.to_thread(pair.primary.crash)
    await asyncio.to_thread(pair.standby.promote_as_it_is)
    pair.switch()
    await some_acks(present[:1], 1)
    began = time.monotonic()
    with suppress(TimeoutError):  # `restarts` tells
        for one in present:
            await one.until(lambda one=one: one.restarts and one.is_inside)
    return time.monotonic() - began
