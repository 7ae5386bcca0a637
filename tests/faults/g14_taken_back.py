"""G14: the migrations are taken back and made again, while servers of this release go on."""

import asyncio
import time

from harness.client.consistency import NOTHING_BROKEN, reckon
from tests.faults._release import MIGRATION, migrate_to
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, messages, some_acks, total, traffic

WITHOUT_SECONDS = 2
WRITERS = 8


@fault(
    "G14",
    "the migrations taken back to the last release and made again, under servers of this one;"
    " PostgreSQL and SQLite",
    must={**NOTHING_BROKEN, "sockets closed": 0, "recovery, s": 10},
)
async def taken_back(ground: Ground) -> Figures:
    """Messages wait for the tables, or are refused and repeated."""
    return total(
        [await _take_back(ground, database) for database in ("postgres", "sqlite")],
    )


async def _take_back(ground: Ground, database: str) -> Figures:
    servers = TWO if database == "postgres" else TWO[:1]
    site = ground.make_site(servers=servers, database=database)
    async with traffic(site, WRITERS, ground.size(10, 20)) as chatters:
        await some_acks(chatters)
        await migrate_to(site, MIGRATION)
        await asyncio.sleep(WITHOUT_SECONDS)
        await migrate_to(site)
        began = time.monotonic()
        await some_acks(chatters)
        recovered = time.monotonic() - began
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "recovery, s": recovered,
        "messages": messages(site),
    }
