"""A handler that raises: its own connection ends, nothing of it stays, and the log says so."""

import time

from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import lines_a_second, look, seconds_until, start_inside, told_of

TIMES = 300
INTERNAL = 4011
LEFT_SECONDS = 15


@fault(
    "F11",
    f"a handler that raises, {TIMES} times",
    must={
        "not closed with 4011": 0,
        "slowest close, ms": 100,
        "rows left": 0,
        "left in memory": 0,
        "log lines a second": 1,
        "not told in the log": 0,
    },
)
async def a_handler_that_raises(ground: Ground) -> Figures:
    """Each is a member of a room that somebody else watches."""
    site = start_inside(ground)
    [server] = site.servers
    async with await Client.connect(server.ws) as watcher:
        await watcher.join("general")
        before, began = await look(server), time.monotonic()
        ends = [await _fail(server.ws) for _ in range(TIMES)]
        left = await _left(site, before)
        ends.append(await _fail(server.ws))  # tells how many lines were left out before
        log, seconds = server.log(), time.monotonic() - began
    return {
        "not closed with 4011": sum(code != INTERNAL for code, _ in ends),
        "slowest close, ms": max(took for _, took in ends) * 1000,
        **left,
        "log lines a second": lines_a_second(log, seconds),
        "not told in the log": abs(len(ends) - told_of(log, " failed")),
    }


async def _fail(url: str) -> tuple[int, float]:
    """The close code of one that makes its handler raise, and the seconds until it came."""
    raw = await Raw.open(url)
    try:
        await raw.send("join", room="general", ref=1)
        await raw.expect("joined", ref=1)
        began = time.monotonic()
        await raw.send("ping", t="raise")
        code = await raw.closed()
        took = time.monotonic() - began
        is_told = raw.seen[-1]["type"] == "disconnect" and raw.seen[-1]["code"] == code
        return code if is_told else 0, took
    finally:
        raw.drop()


async def _left(site: Site, before: dict[str, int]) -> Figures:
    """What is still there of them when it had time to go."""

    async def rows() -> int:
        return site.database.count("connection") + site.database.count("presence") - 2

    async def in_memory() -> int:
        now = await look(site.servers[0])
        return sum(now[name] - before[name] for name in ("connections", "members", "outboxes"))

    async def is_gone() -> bool:
        return await rows() == 0 and await in_memory() == 0

    await seconds_until(is_gone, LEFT_SECONDS)
    return {"rows left": await rows(), "left in memory": await in_memory()}
