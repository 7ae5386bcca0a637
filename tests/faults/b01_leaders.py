"""B1: the tab with the socket of all tabs goes away again and again, while all tabs send."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from harness.site import Site
from tests.faults._browser import browsers, opened
from tests.faults._tabs import NOTHING_WRONG, Group, Member
from tests.faults.fault import Figures, Ground, fault

TABS = 3
BLOCKED_SECONDS = 9
PAUSE_SECONDS = 0.2
STORED = "() => tab.stored()"
OF_A_BROWSER = ["turns", "takeover median, ms", "takeover longest, ms", "of a blocked tab, ms"]
BLOCK = f"""() => void setTimeout(() => {{
  for (const end = performance.now() + {BLOCKED_SECONDS * 1000}; performance.now() < end; );
}})"""


@fault(
    "B1",
    "the tab that has the socket of three tabs is closed, killed or blocked, while all tabs send",
    must=NOTHING_WRONG,
)
async def leaders(ground: Ground) -> Figures:
    """What a closed tab had stored is sent by another one; hidden tabs of Firefox never block."""
    site = ground.make_site(urls="tests.faults._people")
    turns = {
        "chromium": ground.size(
            ["close", "crash"], ["close"] * 50 + ["crash"] * 50 + ["block"] * 8
        ),
        "firefox": ["close"] * 50,
    }
    names = browsers(is_full=ground.is_full)
    runs = [await _run(site, name, turns[name]) for name in names]
    figures = {name: sum(run[name] for run in runs) for name in NOTHING_WRONG}
    figures |= {"messages": sum(run["messages"] for run in runs)}
    for name, run in zip(names, runs, strict=True):
        figures |= {f"{name}: {what}": run[what] for what in OF_A_BROWSER if what in run}
    return figures


async def _run(site: Site, browser_name: str, turns: list[str]) -> Figures:
    async with opened(browser_name) as browser:
        group = Group(browser, site, site.servers[0].url, hasOffline=True)
        await group.log_in(browser_name)
        for _ in range(TABS):
            await (await group.add()).say()
        kept: set[str] = set()
        times: dict[str, list[float]] = {"block": []}
        for turn in turns:
            await asyncio.sleep(PAUSE_SECONDS)
            leader = await group.leader()
            kept |= set(await leader.run(STORED))
            times.setdefault(turn, []).append(await TURNS[turn](group, leader))
        await group.settle()
        return {**await group.reckon(kept), "turns": len(turns), **_takeovers(times)}


def _takeovers(times: dict[str, list[float]]) -> Figures:
    blocked = times.pop("block")
    others = [one for some in times.values() for one in some]
    found = {
        "takeover median, ms": statistics.median(others),
        "takeover longest, ms": max(others),
    }
    return found | ({"of a blocked tab, ms": max(blocked)} if blocked else {})


async def _close(group: Group, leader: Member) -> float:
    """Close the tab, and open another one."""
    return await _replaced(group, leader, leader.tab.close)


async def _crash(group: Group, leader: Member) -> float:
    """Kill the process of the tab, and open another one."""
    return await _replaced(group, leader, leader.tab.crash)


async def _replaced(group: Group, leader: Member, end: Callable[[], Awaitable[None]]) -> float:
    group.reckon_gone(await leader.run("() => tab.notes"))
    group.members.remove(leader)
    began = time.time()
    await end()
    taken = await _takeover(group.members, began)
    await (await group.add()).say()
    return taken


async def _block(group: Group, leader: Member) -> float:
    """Let the page compute for so long; then it follows."""
    others = [member for member in group.members if member is not leader]
    began = time.time()
    await leader.run(BLOCK)
    taken = await _takeover(others, began)
    await leader.until("() => tab.notes.transport === 'tab' && tab.client.state === 'open'")
    return taken


async def _takeover(others: list[Member], began: float) -> float:
    """Return after how many milliseconds all of them were open again."""
    return max([await member.opened(began) for member in others])


TURNS = {"close": _close, "crash": _crash, "block": _block}
