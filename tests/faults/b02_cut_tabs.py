"""B2: the line of two tabs is cut again and again in mid-burst, and one of their pages reloads."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from harness.site import Site
from tests.faults._browser import browsers, opened
from tests.faults._tabs import NOTHING_WRONG, Group
from tests.faults.fault import Figures, Ground, fault
from tests.proxy import Appliance, Proxy

BURST_SECONDS, HTTP_BURST_SECONDS = 0.3, 1.5
"""Over HTTP commands go out ten times a second, and once a second in hidden tabs of Firefox."""
CUT_SECONDS = 0.2
RELOAD_EVERY = 5


@dataclass(frozen=True)
class Way:
    """How the two tabs connect: each by its own line, or both by one; over sockets, or HTTP."""

    has_tabs: bool
    turns: int
    has_http: bool = False

    @property
    def name(self) -> str:
        return "HTTP" if self.has_http else "sockets"

    def line(self, port: int) -> Proxy:
        """A line to a server that can be cut; it may let no socket through."""
        return Appliance(port, 0) if self.has_http else Proxy(port)


@fault(
    "B2",
    "the line of two tabs of a user is cut in mid-burst, and pages with waiting messages reload",
    must=NOTHING_WRONG,
)
async def cut_tabs(ground: Ground) -> Figures:
    """By one line for both tabs, and by two; each cut is while messages wait for their ack."""
    site = ground.make_site(urls="tests.faults._people")
    ways = [
        Way(has_tabs=True, turns=ground.size(2, 50)),
        Way(has_tabs=False, turns=ground.size(0, 50)),
        Way(has_tabs=True, turns=ground.size(0, 50), has_http=True),
        Way(has_tabs=False, turns=ground.size(0, 50), has_http=True),
    ]
    names = browsers(is_full=ground.is_full)
    figures: Figures = dict.fromkeys([*NOTHING_WRONG, "messages"], 0)
    for name in names:
        for way in ways:
            run = await _run(site, name, way) if way.turns else {}
            figures = {what: value + run.get(what, 0) for what, value in figures.items()}
    cuts = Counter[str]()
    for name in names:
        for way in ways:
            cuts[f"{name}, {way.name}: cuts"] += way.turns
    return figures | {name: number for name, number in cuts.items() if number}


async def _run(site: Site, browser_name: str, way: Way) -> Figures:
    async with opened(browser_name) as browser, way.line(site.servers[0].port) as line:
        url = f"http://127.0.0.1:{line.port}"
        options = {"hasTabs": way.has_tabs, "hasHttp": way.has_http}
        group = Group(browser, site, url, hasOffline=True, **options)
        await group.log_in(f"{browser_name}{way.has_tabs:d}{way.has_http:d}")
        for _ in range(2):
            await (await group.add()).say()
        kept: set[str] = set()
        for turn in range(way.turns):
            await asyncio.sleep(HTTP_BURST_SECONDS if way.has_http else BURST_SECONDS)
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
