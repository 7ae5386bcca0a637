"""G11: a rolling deploy from the last release, with the migration under traffic."""

import asyncio
import subprocess
from pathlib import Path

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.services import create_database, missing
from harness.site import ROOT, Server, Site, migrate
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import p99
from tests.faults.traffic import TWO, back, exit_time, messages, some_acks, started, traffic

RELEASE = "2ca3254"
"""The last commit before the tables of topics."""
WRITERS = 8


@fault(
    "G11",
    "a rolling deploy from the last release and halfway back, with the migration under traffic",
    must={**NOTHING_BROKEN, "resumed p99, s": 5, "exit, s": 10},
)
async def deployed(ground: Ground) -> Figures:
    """Processes of both releases append to the same rooms, before and after each step."""
    old = _release(ground.services.folder)
    url = create_database(ground.services.postgres_url(), ground.services.new_name())
    migrate(url, root=old)
    site = ground.make_site(servers=TWO, database_url=url, root=old)
    exits: list[float] = []
    resumed: list[float] = []
    async with traffic(site, WRITERS, ground.size(20, 50)) as chatters:
        await some_acks(chatters)
        await asyncio.to_thread(migrate, url, [])
        await some_acks(chatters)
        for turn, root in enumerate([ROOT, ROOT, old, ROOT]):
            exits.append(await _replace(site, turn % 2, root, chatters, resumed))
            await some_acks(chatters)
    return {
        **reckon(chatters, site.database),
        "resumed p99, s": p99(resumed),
        "exit, s": max(exits),
        "messages": messages(site),
    }


def _release(folder: Path) -> Path:
    """Return a copy of the last release."""
    root = folder / f"release-{RELEASE}"
    if not root.exists():
        packed = subprocess.run(
            ["git", "-C", str(ROOT), "archive", RELEASE], capture_output=True, check=False
        )
        if packed.returncode:
            missing("release", f"no commit {RELEASE} in a repository here")
        root.mkdir()
        subprocess.run(["tar", "-x", "-C", str(root)], input=packed.stdout, check=True)
    return root


async def _replace(
    site: Site, number: int, root: Path, chatters: list[Chatter], resumed: list[float]
) -> float:
    """Stop a server, and start one of another release in its place; return how long it took."""
    server: Server = site.servers[number]
    mine = chatters[number::2]
    took, times = await asyncio.gather(exit_time(server), back(mine))
    resumed += times
    server.options["cwd"] = root
    await started(server)
    await asyncio.gather(*(chatter.move() for chatter in mine))
    return took
