"""F7: a message is committed, the process dies before it says so, the client says it again."""

import asyncio

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import Site
from harness.waiting import eventually
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ENCODINGS, TWO, inside, settle, started
from tests.proxy import Proxy

CLIENTS = 10
MESSAGES = 5
"""Of each client, unanswered at once."""


@fault(
    "F7",
    "kill -9 between the commit of 50 messages and their acks",
    must={**NOTHING_BROKEN, "acked before the kill": 0, "in another place": 0},
    in_topics=True,
)
async def unacked(ground: Ground) -> Figures:
    """The acks are lost on a line that went mute; all is repeated at the other server."""
    site = ground.make_site(servers=TWO)
    early = moved = 0
    async with Proxy(site.servers[0].port) as line, inside(_clients(site, line)) as chatters:
        for turn in range(ground.size(1, 5)):
            line.mute()
            end = site.database.last_seq("general") + CLIENTS * MESSAGES
            said = [
                asyncio.create_task(chatter.say("general", f"{chatter.name} {turn} {number}"))
                for chatter in chatters[1:]
                for number in range(MESSAGES)
            ]
            await eventually(lambda end=end: site.database.last_seq("general") == end)
            places = {(row.id, row.seq) for row in site.database.messages("general")}
            early += sum(one.done() for one in said)
            site.servers[0].kill()
            acks = await asyncio.wait_for(asyncio.gather(*said), 30)
            moved += sum((str(ack["id"]), ack["seq"]) not in places for ack in acks)
            line.restore()
            await started(site.servers[0])
            await asyncio.gather(*(chatter.move() for chatter in chatters[1:]))
        await settle(chatters, site.database)
    return {
        **reckon(chatters, site.database),
        "acked before the kill": early,
        "in another place": moved,
    }


def _clients(site: Site, line: Proxy) -> list[Chatter]:
    """A watcher, and those who are at the first server by way of the line."""
    route = [f"ws://127.0.0.1:{line.port}/ws", site.servers[1].ws]
    speakers = [
        site.client(f"client {one}", route, ["general"], ENCODINGS[one % len(ENCODINGS)])
        for one in range(CLIENTS)
    ]
    return [site.client("watcher", route[1:], ["general"]), *speakers]
