"""G12: publishers are killed right after their commits, while two processes number their events."""

import asyncio
import sys
from collections import Counter

from harness.client.chatter import Chatter
from harness.site import ROOT, Site
from tests.faults._publisher import DONE
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle, talking

ROOM = "general"
SPEAKERS = 4


@fault(
    "G12",
    "kill -9 of publishers right after their commits, in a topic that others publish to",
    must={
        "committed, not stored": 0,
        "stored, not committed": 0,
        "stored twice": 0,
        "holes": 0,
        "not shown": 0,
        "out of order": 0,
        "left without a position": 0,
    },
)
async def killed(ground: Ground) -> Figures:
    """Each committed event is delivered once, and none of a transaction that was rolled back."""
    number = ground.size(40, 1400)
    site = ground.make_site(servers=TWO, in_topics=True)
    site.database.execute(f"CREATE TABLE {DONE} (number int)")
    async with inside(_clients(site)) as chatters:
        async with talking(chatters[:SPEAKERS], 5):
            await _publishers(site, number)
            await asyncio.sleep(3)  # what is left is numbered by a pulse
        await settle(chatters, site.database)
    done = Counter(str(one) for (one,) in site.database.rows(f"SELECT number FROM {DONE}"))
    rows = site.database.messages(ROOM)
    stored = Counter(row.content for row in rows if row.sender == "publisher")
    seqs = {row.seq for row in rows}
    return {
        "committed, not stored": (done - stored).total(),
        "stored, not committed": len(stored.keys() - done.keys()),
        "stored twice": len(rows) - len({row.content for row in rows}),
        "holes": len({*range(1, len(rows) + 1)} - seqs),
        "not shown": sum(_lacking(chatter, site) for chatter in chatters),
        "out of order": sum(len(chatter.faults) for chatter in chatters),
        "left without a position": site.database.count("pending"),
        "publishers": number,
        "committed": done.total(),
        "of others": len(rows) - stored.total(),
    }


def _clients(site: Site) -> list[Chatter]:
    """Those who speak at either server, and one more at each that only listens."""
    return [
        site.client(f"client {one}", [site.urls[one % 2]], [ROOM]) for one in range(SPEAKERS + 2)
    ]


def _lacking(chatter: Chatter, site: Site) -> int:
    """How many rows a client does not show, and what else it shows."""
    rows = [row.content for row in site.database.messages(ROOM)]
    shown = chatter.contents(ROOM)
    return sum(((Counter(rows) - Counter(shown)) + (Counter(shown) - Counter(rows))).values())


async def _publishers(site: Site, number: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults._publisher", ROOM, "1", str(number + 1)),
        env=site.env,
        cwd=ROOT,
    )
    if await process.wait():
        raise RuntimeError("the publishers failed")
