"""A handler that raises five times: its connection ends, nothing of it stays, the log says so."""

import time

from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import lines_a_second, look, seconds_until, start_inside, told_of

TIMES = 300
IN_A_ROW = 5
TOO_MANY_ERRORS = 4511
LEFT_SECONDS = 15


@fault(
    "F11",
    f"a handler that raises {IN_A_ROW} times in a row, {TIMES} times",
    must={
        "not closed with 4511": 0,
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
        # The first line of this one tells how many were left out before.
        ends.append(await _fail(server.ws))
        log, seconds = server.log(), time.monotonic() - began
    return {
        "not closed with 4511": sum(code != TOO_MANY_ERRORS for code, _ in ends),
        "slowest close, ms": max(took for _, took in ends) * 1000,
        **left,
        "log lines a second": lines_a_second(log, seconds),
        "not told in the log": abs(TIMES * IN_A_ROW + 1 - told_of(log, "a command failed")),
    }


async def _fail(url: str) -> tuple[int, float]:
    """The close code of one that makes its handler raise, and the seconds until it came."""
    raw = await Raw.open(url)
    try:
        await raw.send("join", room="general", ref=1)
        await raw.expect("joined", ref=1)
        began = time.monotonic()
        for number in range(IN_A_ROW):
            await raw.send("ping", t="raise", ref=number)
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
