"""G9: a standby becomes the primary; the old one stays up, read-only, and keeps its connections."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from urllib.request import urlopen

import psycopg

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import Server, Site
from harness.waiting import eventually
from tests.faults._standby import with_standby
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ends, messages, some_acks, traffic

WRITERS = 8
READ_ONLY_SECONDS = 6
"""How long no server takes writes: longer than a pulse, so that the lease is not renewed either."""


@fault(
    "G9",
    "a standby promoted while the old primary stays up read-only, with all its connections",
    must={
        **NOTHING_BROKEN,
        "sockets closed": 0,
        "recovery, s": 3,
        "ready while read-only": 0,
        "ready again, s": 5,
        "answered by the old one": 0,
    },
    in_topics=True,
)
async def failed_over(ground: Ground) -> Figures:
    """Servers reach their database by an address that leads to the new primary from then on."""
    with with_standby(ground) as pair:
        site = pair.site
        async with _talk(site, ground.size(20, 50)) as chatters:
            await some_acks(chatters)
            pair.primary.set_read_only(True)
            await asyncio.sleep(READ_ONLY_SECONDS)
            ready = sum([await _is_ready(server) for server in site.servers])
            await asyncio.to_thread(pair.standby.promote)
            pair.switch()
            began = time.monotonic()
            await some_acks(chatters, 1)
            recovered = time.monotonic() - began
            await _all_ready(site)
            again = time.monotonic() - began
            left = await _left_at(pair.primary.url)
        figures = {**reckon(chatters, site.database), **_counted(site, chatters)}
    return {
        **figures,
        "recovery, s": recovered,
        "ready while read-only": ready,
        "ready again, s": again,
        "answered by the old one": left,
    }


def _talk(site: Site, per_second: float) -> AbstractAsyncContextManager[list[Chatter]]:
    """A log begins anew on another primary: nobody knows whether it has all commits."""
    return traffic(site, WRITERS, per_second, may_restart=True)


def _counted(site: Site, chatters: list[Chatter]) -> Figures:
    return {"sockets closed": ends(chatters), "messages": messages(site)}


async def _is_ready(server: Server) -> bool:
    def ask() -> bool:
        try:
            with urlopen(f"{server.url}/realtime/ready/", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:  # also what says 503
            return False

    return await asyncio.to_thread(ask)


async def _all_ready(site: Site) -> None:
    for server in site.servers:
        while not await _is_ready(server):
            await asyncio.sleep(0.1)


async def _left_at(url: str) -> int:
    """How many connections of the site still do something at the old primary after a while."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'site'"
        " AND state_change > clock_timestamp() - interval '1 second'"
    )

    def count() -> int:
        with psycopg.connect(url) as connection:
            found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    try:
        await eventually(lambda: count() == 0, 10)
    except TimeoutError:
        return count()
    return 0
