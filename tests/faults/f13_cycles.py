"""Clients that come, say something and go, again and again: nothing of them stays."""

import asyncio

from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import MB, Memory, look, seconds_until, start_inside

AT_ONCE = 20
STAY = 10
WARM_UP = 300, 10_000
"""How many come before it counts, in CI and in full: until what goes makes room for what comes."""
SETTINGS = {**UNLIMITED, "RING_BYTES": 64 * 1024}
"""The ring keeps recent messages on purpose; it is full after the warm-up."""


@fault(
    "F13",
    "20,000 times connect, join, send, close (in CI 500), every fourth without a goodbye",
    must={"memory, MB": 10, "rows too many": 0, "left in memory": 0},
)
async def cycles(ground: Ground) -> Figures:
    """Each is somebody new; ten others stay all the time."""
    site = start_inside(ground, settings=SETTINGS)
    [server] = site.servers
    stay = [await Client.connect(server.ws) for _ in range(STAY)]
    for client in stay:
        await client.join("general")
    await _run(server.ws, ground.size(*WARM_UP))
    await _settle(site)
    before, memory = await look(server), Memory(server)
    number = ground.size(500, 20_000)
    await _run(server.ws, number)
    await _settle(site)
    if ground.is_full:
        # The topics of users who do not come back linger for a minute, on purpose.
        await seconds_until(lambda: _has(site, "topics", before["topics"]), 90)
    after = await look(server)
    figures: Figures = {
        "cycles": number,
        "memory, MB": memory.grown / MB,
        "at its highest, MB": memory.peak / MB,
        "rows too many": _rows(site) - 2 * STAY,
        "left in memory": sum(
            after[name] - before[name] for name in ("connections", "members", "outboxes")
        ),
    }
    await asyncio.gather(*(client.close() for client in stay))
    return figures


async def _run(url: str, number: int) -> None:
    async def work(numbers: range) -> None:
        for one in numbers:
            await _cycle(url, is_polite=one % 4 > 0)

    await asyncio.gather(*(work(range(start, number, AT_ONCE)) for start in range(AT_ONCE)))


async def _cycle(url: str, *, is_polite: bool) -> None:
    raw = await Raw.open(url)
    try:
        await raw.send("join", room="general", history=0, ref=1)
        await raw.expect("joined", ref=1)
        await raw.send("message", room="general", content="hello, and goodbye", ref=2)
        await raw.expect("ack", ref=2)
        if is_polite:
            await raw.close()
    finally:
        raw.drop()


async def _settle(site: Site) -> None:
    """Wait until only those who stay are there, or time is up: the figures tell what is left."""

    async def is_settled() -> bool:
        return _rows(site) == 2 * STAY and await _has(site, "outboxes", STAY)

    await seconds_until(is_settled, 20)


async def _has(site: Site, name: str, most: int) -> bool:
    return (await look(site.servers[0]))[name] <= most


def _rows(site: Site) -> int:
    return site.database.count("connection") + site.database.count("presence")
