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

ROOM = "general"
VICTIMS = 3
RETURN_SECONDS = 30
MUST = {**NOTHING_BROKEN, "not gone": 0, "not back": 0, "not in the tables": 0, "back after, s": 15}


@fault(
    "G3",
    "a process stalled (SIGSTOP) for twice its lease, 60 s, and back",
    must={**MUST, "missing from the members": 0},
    in_topics=True,
    must_in_topics=MUST,
)
async def away(ground: Ground) -> Figures:
    """It is reaped, and its clients leave; then it inserts itself again, with all of them."""
    seconds, lease = ground.size((6, 2), (60, 30))
    settings = {**UNLIMITED, "LEASE_SECONDS": lease, "PULSE_SECONDS": lease / 6}
    site = ground.make_site(servers=TWO, settings=settings)
    victims = [site.client(f"victim {one}", site.urls[:1], [ROOM]) for one in range(VICTIMS)]
    peers = [site.client(f"peer {one}", site.urls[1:], [ROOM]) for one in range(3)]
    known = (_Rows if ground.in_topics else _Members)(site, victims, peers)
    async with inside([*peers, *victims]) as chatters:
        async with talking(chatters, 5):
            await _until(lambda: not known.not_back(), RETURN_SECONDS)
            # Whoever reaps must itself have been well for as long as a lease.
            await asyncio.sleep(lease)
            site.servers[0].pause()
            await asyncio.sleep(seconds)
            not_gone = known.not_gone()
            site.servers[0].resume()
            began = time.monotonic()
            await _until(lambda: not known.not_back(), RETURN_SECONDS)
            took = time.monotonic() - began
            await some_acks(chatters)
        await settle(chatters, site.database)
        figures = {
            "not gone": not_gone,
            "not back": known.not_back(),
            "not in the tables": len(chatters) - _live_connections(site),
            **await known.found_later(),
        }
    return {
        **reckon(chatters, site.database),
        **figures,
        "back after, s": took,
        "sockets closed": sum(len(chatter.ends) for chatter in chatters),
    }


class _Members:
    """The clients of the stalled process, as the others in their room know them."""

    def __init__(self, site: Site, victims: list[Chatter], peers: list[Chatter]) -> None:
        self.site = site
        self.victims = victims
        self.peers = peers

    def not_gone(self) -> int:
        return self._without("left")

    def not_back(self) -> int:
        return self._without("joined")

    async def found_later(self) -> Figures:
        """Return how many a newcomer at the other server does not find."""
        async with await Client.connect(self.site.urls[1]) as client:
            count = int((await client.join(ROOM))["count"]) - 1
        return {"missing from the members": len(self.victims) + len(self.peers) - count}

    def _without(self, kind: str) -> int:
        """Of how many victims the last that a peer heard is something else."""
        found = 0
        for peer in self.peers:
            last = {event["user_id"]: event["type"] for event in peer.events if "user_id" in event}
            found += sum(last.get(victim.user_id) != kind for victim in self.victims)
        return found


class _Rows(_Members):
    """The same as the tables have them: a topic tells nobody who is there."""

    def not_gone(self) -> int:
        return _live_connections(self.site) - len(self.peers)

    def not_back(self) -> int:
        return len(self.victims) - self.not_gone()

    async def found_later(self) -> Figures:
        return {}


def _live_connections(site: Site) -> int:
    [(number,)] = site.database.rows(
        "SELECT count(*) FROM realtime_connection c JOIN realtime_node n ON n.id = c.node_id"
        " WHERE n.reaper = '' AND n.expires_at > now()"
    )
    return int(number)


async def _until(condition: object, seconds: float) -> None:
    with suppress(TimeoutError):
        await eventually(condition, seconds)  # type: ignore[arg-type]
