"""G13: values are set and deleted while a server is killed and Redis forgets everything."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from harness.client.subscriber import Subscriber
from harness.client.websocket import Client
from harness.site import Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import ENCODINGS, TWO, back, inside, started

TOPIC = "count/all"
WRITERS = 4
PAUSE_SECONDS = 0.01
SETTLE_SECONDS = 30


@fault(
    "G13",
    "values set and deleted in a topic, while one of two servers is killed and Redis is flushed",
    must={
        "wrong values": 0,
        "out of order": 0,
        "begun anew": 0,
        "not caught up": 0,
        "left without a position": 0,
    },
)
async def killed(ground: Ground) -> Figures:
    """Every client ends with the latest value of each key, and of no deleted one."""
    number, kills, keys = ground.size((6, 2, 50), (20, 5, 500))
    site = ground.make_site(servers=TWO, own_redis=True, in_topics=True)
    assert site.redis
    clients = [
        Subscriber(f"client {one}", _route(site, one), [TOPIC], ENCODINGS[one % len(ENCODINGS)])
        for one in range(number)
    ]
    async with inside(clients):  # type: ignore[arg-type]
        async with _writing(site, keys):
            for turn in range(kills):
                await asyncio.sleep(1)
                site.servers[0].kill()
                await back(clients[0::2])
                await started(site.servers[0])
                await asyncio.gather(*(one.move() for one in clients[0::2]))
                if not turn:
                    site.redis.flush()
        late = await _caught_up(site, clients)
        values = _values(site)
        wrong = [_shown(one) != values for one in clients]
    return {
        "wrong values": sum(wrong),
        "out of order": sum(len(one.faults) for one in clients),
        "begun anew": sum(one.restarts for one in clients),
        "not caught up": late,
        "left without a position": site.database.count("pending"),
        "values": len(values),
        "changes": _end(site),
    }


def _route(site: Site, number: int) -> list[str]:
    home = number % 2
    return site.urls[home:] + site.urls[:home]


@asynccontextmanager
async def _writing(site: Site, keys: int) -> AsyncIterator[None]:
    """Change values at the server that is never killed, until the block ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as writers:
        for number in range(WRITERS):
            writers.create_task(_write(site.urls[1], number, keys, stop))
        try:
            yield
        finally:
            stop.set()


async def _write(url: str, seed: int, keys: int, stop: asyncio.Event) -> None:
    chance = random.Random(seed)
    async with await Client.connect(url, "json") as client:
        for number in range(10**9):
            if stop.is_set():
                return
            key = f"k{chance.randrange(keys)}"
            if chance.random() < 0.2:
                await client.call(TOPIC, "drop", key=key)
            else:
                await client.call(TOPIC, "put", key=key, number=number)
            await asyncio.sleep(PAUSE_SECONDS)


def _end(site: Site) -> int:
    [(last,)] = site.database.rows("SELECT last_seq FROM realtime_head WHERE name = %s", TOPIC)
    return int(last)


async def _caught_up(site: Site, clients: list[Subscriber]) -> int:
    """Wait until every client is at the end of the log; return how many are not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while site.database.count("pending"):
                await asyncio.sleep(0.1)
            end = _end(site)
            for one in clients:
                await one.until(lambda one=one: one.topics[TOPIC].position >= end)
    return sum(one.topics[TOPIC].position < _end(site) for one in clients)


def _values(site: Site) -> dict[str, int]:
    found = site.database.rows(
        "SELECT e.key, e.data FROM realtime_entry e JOIN realtime_head h ON h.id = e.log_id"
        " WHERE h.name = %s AND e.key IS NOT NULL AND NOT e.is_deleted",
        TOPIC,
    )
    return {key: json.loads(data)["number"] for key, data in found}


def _shown(client: Subscriber) -> dict[str, int]:
    return {key: value["data"]["number"] for key, value in client.topics[TOPIC].values.items()}
