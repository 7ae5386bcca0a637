"""F2: servers are stopped in turn, as a new release is rolled out, under traffic."""

import asyncio

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import ROOMS, Server, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import allow_many_files
from tests.faults.traffic import (
    ENCODINGS,
    back,
    exit_time,
    inside,
    messages,
    settle,
    some_acks,
    started,
    talking,
)

SHUTDOWN = (4001, 4001)


@fault(
    "F2",
    "SIGTERM to a Daphne, then to a uvicorn, each with all clients on it",
    must={**NOTHING_BROKEN, "not told and closed 4001": 0, "exit, s": 10, "ghosts": 0},
    in_topics=True,
)
async def stopped(ground: Ground) -> Figures:
    """Whoever is stopped comes back before the other one goes, as when a release is rolled out."""
    number, rate = ground.size((20, 5.0), (1000, 0.05))
    allow_many_files()
    site = ground.make_site(servers=("daphne", "uvicorn"))
    exits: list[float] = []
    untold = ghosts = 0
    async with inside(_clients(site, number)) as chatters:
        async with talking(chatters, rate):
            for server in site.servers:
                await some_acks(chatters, ground.size(3, 1))
                (took, left), _ = await asyncio.gather(_stop(site, server), back(chatters, 60))
                exits.append(took)
                ghosts += left
                untold += sum(chatter.ends[-1] != SHUTDOWN for chatter in chatters)
                await started(server)
        await settle(chatters, site.database)
    return {
        **reckon(chatters, site.database),
        "not told and closed 4001": untold,
        "exit, s": max(exits),
        "ghosts": ghosts,
        "clients": number,
        "messages": messages(site),
    }


def _clients(site: Site, number: int) -> list[Chatter]:
    """All on the first server; each in a room that it shares with a tenth of the others."""
    return [
        site.client(f"client {one}", site.urls, [ROOMS[one % 10]], ENCODINGS[one % len(ENCODINGS)])
        for one in range(number)
    ]


async def _stop(site: Site, server: Server) -> tuple[float, int]:
    """How long it takes to end, and what the tables still have of it then."""
    assert server.popen
    took = await exit_time(server)
    [(nodes, connections)] = site.database.rows(
        "SELECT count(DISTINCT n.id), count(c.id) FROM realtime_node n"
        " LEFT JOIN realtime_connection c ON c.node_id = n.id WHERE n.pid = %s",
        server.popen.pid,
    )
    return took, nodes + connections
