"""G5: what a client has yet to read is purged while it is away."""

import asyncio

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import inside, settle
from tests.proxy import Proxy

PART = 10
"""Messages said before the first client goes, between the two, and after; half is purged."""


@fault(
    "G5",
    "a purge beyond the position of one client that is away, and not of another",
    must={**NOTHING_BROKEN, "not told to begin anew": 0, "told so though nothing is missing": 0},
    in_topics=True,
)
async def purged(ground: Ground) -> Figures:
    """The first begins anew at a server that never had what is gone; the other one resumes."""
    part = ground.size(PART, 3 * PART)
    site = ground.make_site(servers=("daphne",) * 3)
    async with (
        Proxy(site.servers[0].port) as first,
        Proxy(site.servers[1].port) as second,
        Proxy(site.servers[2].port) as third,
        inside(_clients(site, first, second, third)) as chatters,
    ):
        below, above, *online = chatters
        await _say(chatters, online, part, site)
        first.cut()
        third.cut()
        await _say(chatters[1:], online, 2 * part, site)
        second.cut()
        await _say(online, online, part, site)
        site.database.purge("general", 2 * part)
        second.restore()
        third.restore()
        for chatter in (below, above):
            await chatter.until(lambda chatter=chatter: chatter.is_inside)
        await _say(chatters, online, part, site)
    return {
        **reckon(chatters, site.database, above=2 * part),
        "not told to begin anew": int(below.restarts != 1),
        "told so though nothing is missing": above.restarts + sum(c.restarts for c in online),
    }


def _clients(site: Site, first: Proxy, second: Proxy, third: Proxy) -> list[Chatter]:
    """One that comes back at the third server, one at its own, and two that stay."""
    lines = [f"ws://127.0.0.1:{line.port}/ws" for line in (first, second, third)]
    routes = [[lines[0], lines[2]], [lines[1]], site.urls[:1], site.urls[1:2]]
    return [
        site.client(f"client {one}", route, ["general"], may_restart=True)
        for one, route in enumerate(routes)
    ]


async def _say(chatters: list[Chatter], speakers: list[Chatter], number: int, site: Site) -> None:
    """Let so much be said in all, and everybody show it who can."""
    said = (speakers[turn % len(speakers)].say("general", f"{turn}") for turn in range(number))
    await asyncio.wait_for(asyncio.gather(*said), 30)
    await settle(chatters, site.database)
