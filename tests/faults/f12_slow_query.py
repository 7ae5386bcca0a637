"""One connection waits for the database: the others do not wait with it."""

import time
from contextlib import AsyncExitStack

from harness.client.websocket import Client
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import asking, connect, p99, ping, say, start_inside

SLOW = {"slow": "through the engine", "slow as in Channels": "by `database_sync_to_async`"}
SLOW_SECONDS = 3


@fault(
    "F12",
    f"a {SLOW_SECONDS} s database call in a connection, {' and one '.join(SLOW.values())}",
    must={"others' ping p99, ms": 50, "slowest connect, ms": 200, "others' ack p99, ms": 200},
)
async def a_slow_query(ground: Ground) -> Figures:
    """Meanwhile ten others ping and send, and new ones come."""
    site = start_inside(ground)
    [url] = site.urls
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(await Client.connect(url)) for _ in range(10)]
        slow = {name: await stack.enter_async_context(await Client.connect(url)) for name in SLOW}
        for client in others:
            await client.join("general")
        async with AsyncExitStack() as meanwhile:
            began = time.monotonic()
            for name, client in slow.items():
                await client.send("ping", t=name)
            pings = [await meanwhile.enter_async_context(asking(ping(one))) for one in others[:5]]
            acks = [await meanwhile.enter_async_context(asking(say(one))) for one in others[5:]]
            connects = await meanwhile.enter_async_context(asking(connect(url), 0.1))
            for name, client in slow.items():
                await client.expect("pong", t=name)
        if time.monotonic() - began < SLOW_SECONDS:
            raise RuntimeError("the slow calls were not slow")
    return {
        "others' ping p99, ms": p99(took for one in pings for took in one) * 1000,
        "others' ack p99, ms": p99(took for one in acks for took in one) * 1000,
        "slowest connect, ms": max(connects) * 1000,
        "pings": sum(map(len, pings)),
        "connects": len(connects),
    }
