"""G11: a rolling deploy from the last release, with the migrations under traffic."""

import asyncio
from pathlib import Path

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.services import create_database
from harness.site import ROOT, Server, Site, migrate
from tests.faults._release import MIGRATION, migrate_to, release
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import p99
from tests.faults.traffic import TWO, back, exit_time, messages, some_acks, started, traffic

WRITERS = 8


@fault(
    "G11",
    "a rolling deploy from the last release, halfway back, and forward again, with the migrations"
    " under traffic",
    must={**NOTHING_BROKEN, "resumed p99, s": 5, "exit, s": 10},
)
async def deployed(ground: Ground) -> Figures:
    """Processes of both releases append to the same rooms, before and after each step.

    While the tables are those of the last release, only the process of that release stores.
    """
    old = release(ground.services.folder)
    url = create_database(ground.services.postgres_url(), ground.services.new_name())
    migrate(url, root=old)
    site = ground.make_site(servers=TWO, database_url=url, root=old)
    exits: list[float] = []
    resumed: list[float] = []
    async with traffic(site, WRITERS, ground.size(20, 50)) as chatters:
        await some_acks(chatters)
        await asyncio.to_thread(migrate, url, [])
        await some_acks(chatters)
        for turn, root in enumerate([ROOT, ROOT, old]):
            exits.append(await _replace(site, turn % 2, root, chatters, resumed))
            await some_acks(chatters)
        await migrate_to(site, MIGRATION)
        await some_acks(chatters[0::2])  # at the server of the last release
        await migrate_to(site)
        await some_acks(chatters)
        exits.append(await _replace(site, 0, ROOT, chatters, resumed))
        await some_acks(chatters)
    return {
        **reckon(chatters, site.database),
        "resumed p99, s": p99(resumed),
        "exit, s": max(exits),
        "messages": messages(site),
    }


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
