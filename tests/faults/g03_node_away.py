"""G3: a process stands still for so long that it is taken for dead, and goes on."""

import asyncio
import time
from contextlib import suppress

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from harness.waiting import eventually
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle, some_acks, talking

VICTIMS = 3
RETURN_SECONDS = 30


@fault(
    "G3",
    "a process stalled (SIGSTOP) for twice its lease, 60 s, and back",
    must={
        **NOTHING_BROKEN,
        "not gone for the others": 0,
        "not back for the others": 0,
        "not in the tables": 0,
        "missing from the members": 0,
        "back after, s": 15,
    },
)
async def away(ground: Ground) -> Figures:
    """It is reaped, and its clients leave; then it inserts itself again, with all of them."""
    seconds, lease = ground.size((6, 2), (60, 30))
    settings = {**UNLIMITED, "LEASE_SECONDS": lease, "PULSE_SECONDS": lease / 6}
    site = ground.make_site(servers=TWO, settings=settings)
    victims = [Chatter(f"victim {one}", site.urls[:1], ["general"]) for one in range(VICTIMS)]
    peers = [Chatter(f"peer {one}", site.urls[1:], ["general"]) for one in range(3)]
    async with inside([*peers, *victims]) as chatters:
        async with talking(chatters, 5):
            await _until(lambda: not _without(peers, victims, "joined"), RETURN_SECONDS)
            # Whoever reaps must itself have been well for as long as a lease.
            await asyncio.sleep(lease)
            site.servers[0].pause()
            await asyncio.sleep(seconds)
            not_gone = _without(peers, victims, "left")
            site.servers[0].resume()
            began = time.monotonic()
            await _until(lambda: not _without(peers, victims, "joined"), RETURN_SECONDS)
            took = time.monotonic() - began
            await some_acks(chatters)
        await settle(chatters, site.database)
        not_back = _without(peers, victims, "joined")
        missing = len(chatters) - await _present(site)
        absent = len(chatters) - _live_connections(site)
    return {
        **reckon(chatters, site.database),
        "not gone for the others": not_gone,
        "not back for the others": not_back,
        "not in the tables": absent,
        "missing from the members": missing,
        "back after, s": took,
        "sockets closed": sum(len(chatter.ends) for chatter in chatters),
    }


def _without(peers: list[Chatter], victims: list[Chatter], kind: str) -> int:
    """Of how many victims the last that a peer heard is something else."""
    found = 0
    for peer in peers:
        last = {event["user_id"]: event["type"] for event in peer.events if "user_id" in event}
        found += sum(last.get(victim.user_id) != kind for victim in victims)
    return found


def _live_connections(site: Site) -> int:
    [(number,)] = site.database.rows(
        "SELECT count(*) FROM realtime_connection c JOIN realtime_node n ON n.id = c.node_id"
        " WHERE n.reaper = '' AND n.expires_at > now()"
    )
    return int(number)


async def _present(site: Site) -> int:
    """How many a newcomer at the other server finds."""
    async with await Client.connect(site.urls[1]) as client:
        return int((await client.join("general"))["count"]) - 1


async def _until(condition: object, seconds: float) -> None:
    with suppress(TimeoutError):
        await eventually(condition, seconds)  # type: ignore[arg-type]
