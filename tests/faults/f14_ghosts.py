"""A server dies, or a client goes: how long the others still see who is not there any more."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import seconds_until

GHOSTS = 5
GRACE_SECONDS = 3
WAIT_SECONDS = 60
SHARE = 4
"""In CI the lease and the pulse are a fourth of what they are, and seconds count four times."""


@fault(
    "F14",
    "a server killed (-9) under its clients, and clients that close",
    must={
        "left for peers, s": 45,
        "gone from the tables, s": 45,
        "gone from `presence`, s": 45,
        "left after a close, s past the grace": 1,
    },
)
async def ghosts(ground: Ground) -> Figures:
    """A peer on the other server sees them leave; so do the tables, which the admin shows."""
    times = ground.size(SHARE, 1)
    settings = {**UNLIMITED, "LEASE_SECONDS": 30 / times, "PULSE_SECONDS": 5 / times}
    site = ground.make_site(servers=("daphne", "daphne"), settings=settings)
    victim, survivor = site.servers
    async with AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(await Client.connect(survivor.ws))
        asker = await stack.enter_async_context(await Client.connect(survivor.ws))
        for client in (watcher, asker):
            await client.join("general")
        closed = await _close(watcher, survivor.ws)
        names = set()
        for _ in range(GHOSTS):
            ghost = await stack.enter_async_context(await Client.connect(victim.ws))
            name = (await ghost.expect("welcome"))["user_id"]
            names.add(name)
            await ghost.join("general")
            await watcher.expect("joined", user_id=name)
        victim.kill()
        killed = time.monotonic()
        peers, tables, presence = await asyncio.gather(
            _left(watcher, names, killed),
            seconds_until(lambda: _are_gone(site), WAIT_SECONDS, killed),
            seconds_until(lambda: _is_alone(asker), WAIT_SECONDS, killed),
        )
    return {
        "left for peers, s": peers * times,
        "gone from the tables, s": tables * times,
        "gone from `presence`, s": presence * times,
        "left after a close, s past the grace": closed - GRACE_SECONDS,
    }


async def _close(watcher: Client, url: str) -> float:
    """Seconds from the slower of two ends, a goodbye and a cut line, until a peer sees it."""
    took = []
    for is_polite in (True, False):
        async with await Client.connect(url) as client:
            name = (await client.expect("welcome"))["user_id"]
            await client.join("general")
            await watcher.expect("joined", user_id=name)
            if is_polite:
                await client.close()
            else:
                client.socket.transport.abort()
            began = time.monotonic()
            await watcher.expect("left", user_id=name)
            took.append(time.monotonic() - began)
    return max(took)


async def _left(watcher: Client, names: set[str], since: float) -> float:
    """The seconds until the last of them was seen leaving, or time was up."""
    waiting = set(names)
    with suppress(TimeoutError):
        while waiting:
            waiting.discard((await watcher.expect("left", WAIT_SECONDS))["user_id"])
    return time.monotonic() - since


async def _are_gone(site: Site) -> bool:
    return site.database.count("presence") == site.database.count("connection") == 2


async def _is_alone(asker: Client) -> bool:
    await asker.send("presence", room="general", ref="who")
    return bool((await asker.expect("presence", ref="who"))["count"] == 2)
