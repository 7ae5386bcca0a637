"""B2: the line of two tabs is cut again and again in mid-burst, and one of their pages reloads."""

import asyncio
from dataclasses import dataclass

from harness.site import Site
from tests.faults._browser import browsers, opened
from tests.faults._tabs import NOTHING_WRONG, Group
from tests.faults.fault import Figures, Ground, fault
from tests.proxy import Proxy

BURST_SECONDS = 0.3
CUT_SECONDS = 0.2
RELOAD_EVERY = 5


@dataclass(frozen=True)
class Way:
    """How the two tabs connect: each by its own socket, or both by one."""

    has_tabs: bool
    turns: int


@fault(
    "B2",
    "the line of two tabs of a user is cut in mid-burst, and pages with waiting messages reload",
    must=NOTHING_WRONG,
)
async def cut_tabs(ground: Ground) -> Figures:
    """By one socket for both tabs, and by two; each cut is while messages wait for their ack."""
    site = ground.make_site(urls="tests.faults._people")
    ways = [
        Way(has_tabs=True, turns=ground.size(2, 50)),
        Way(has_tabs=False, turns=ground.size(0, 50)),
    ]
    names = browsers(is_full=ground.is_full)
    figures: Figures = dict.fromkeys([*NOTHING_WRONG, "messages"], 0)
    for name in names:
        for way in ways:
            run = await _run(site, name, way) if way.turns else {}
            figures = {what: value + run.get(what, 0) for what, value in figures.items()}
    return figures | {f"{name}: cuts": sum(way.turns for way in ways) for name in names}


async def _run(site: Site, browser_name: str, way: Way) -> Figures:
    async with opened(browser_name) as browser, Proxy(site.servers[0].port) as line:
        url = f"http://127.0.0.1:{line.port}"
        group = Group(browser, site, url, hasTabs=way.has_tabs, hasOffline=True)
        await group.log_in(f"{browser_name}{way.has_tabs:d}")
        for _ in range(2):
            await (await group.add()).say()
        kept: set[str] = set()
        for turn in range(way.turns):
            await asyncio.sleep(BURST_SECONDS)
            line.cut()
            await asyncio.sleep(CUT_SECONDS)
            member = group.members[turn % 2]
            kept |= set(await member.run("() => tab.stored()"))
            line.restore()
            if turn % RELOAD_EVERY == 0:
                await group.reload(member)
            for member in group.members:
                await member.run("() => tab.client.connect()")  # as a click: the waits grow
                await member.until("() => tab.client.state === 'open' && tab.room.state === 'live'")
        await group.settle()
        return await group.reckon(kept)
