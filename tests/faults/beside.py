"""What other clients feel of a load, measured in turns with a control: the machine may be busy."""

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from harness.client.websocket import Client
from tests.faults.fault import Figures
from tests.faults.meters import asking, p99, ping

__all__ = ["BEHIND_PROXY", "Load", "felt_by_others"]

OTHERS, EVERY_SECONDS = 8, 0.04
"""So many others ping, each of them so often: less than its allowance."""
BEHIND_PROXY = {"TRUSTED_PROXIES": 1}
"""The settings of a site whose clients say in a header where they come from."""
OTHERS_ADDRESS, LOAD_ADDRESS = "198.41.0.4", "192.5.6.30"
"""Guests of one address share an allowance; others must not feel that of the load."""
FLOOR_SECONDS = 0.025
"""A control that is faster than this is taken for this: others may always wait 50 ms."""
TIMES = 2.0
ROUNDS = 3
"""How often a load is tried that seems to exceed its limit; the median counts."""


@dataclass
class Load:
    """One of `_looper.py`, by so many clients of one address."""

    name: str
    clients: int = 1
    cookie: str = ""
    most: float = TIMES
    """How many times as long the pings of others may take beside it."""
    pings: list[float] = field(default_factory=list)

    def order(self, url: str, seconds: float) -> dict[str, Any]:
        """What `_looper.py` is told."""
        headers = {"X-Forwarded-For": LOAD_ADDRESS}
        if self.cookie:
            headers["Cookie"] = self.cookie
        return {
            "load": self.name,
            "url": url,
            "headers": headers,
            "seconds": seconds,
            "clients": self.clients,
        }

    def __str__(self) -> str:
        return self.name if self.clients == 1 else f"{self.name} of {self.clients} guests"


async def felt_by_others(url: str, loads: list[Load], seconds: float) -> Figures:
    """How long others' pings take beside each load, on a site with `BEHIND_PROXY`."""
    control: list[list[float]] = []
    times: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        headers = {"X-Forwarded-For": OTHERS_ADDRESS}
        others = [
            await stack.enter_async_context(await Client.connect(url, headers=headers))
            for _ in range(OTHERS)
        ]
        looper = await stack.enter_async_context(_looper())
        control.append(await _pings(others, asyncio.sleep(seconds / 2)))
        for load in loads:
            rounds = [await _round(looper, url, others, load, seconds, control)]
            while rounds[0] > load.most and len(rounds) < ROUNDS:
                rounds.append(await _round(looper, url, others, load, seconds, control))
            times[str(load)] = statistics.median(rounds)
    figures = {"others' ping p99 without, ms": p99(chain.from_iterable(control)) * 1000}
    for number in sorted({load.clients for load in loads}):
        mine = {str(load): times[str(load)] for load in loads if load.clients == number}
        pings = [one for load in loads if load.clients == number for one in load.pings]
        beside = "beside one client" if number == 1 else f"beside {number} guests"
        worst = max(mine, key=lambda name: mine[name])
        figures[f"others' ping p99 {beside}, ms"] = p99(pings) * 1000
        figures[f"others' ping p99 {beside}, times"] = mine[worst]
        figures[f"most beside {worst}, times"] = mine[worst]
    return figures


async def _round(
    looper: asyncio.subprocess.Process,
    url: str,
    others: list[Client],
    load: Load,
    seconds: float,
    control: list[list[float]],
) -> float:
    """The load, and a control, as before it; return how much longer pings took than in both."""
    during = await _pings(others, _obey(looper, load.order(url, seconds)))
    control.append(await _pings(others, asyncio.sleep(seconds / 2)))
    load.pings += during
    return p99(during) / max(p99(chain.from_iterable(control[-2:])), FLOOR_SECONDS)


async def _pings(others: list[Client], meanwhile: Any) -> list[float]:
    """How long the others' pings took while something went on."""
    async with AsyncExitStack() as stack:
        took = [
            await stack.enter_async_context(asking(ping(client), EVERY_SECONDS))
            for client in others
        ]
        await meanwhile
    return [one for each in took for one in each]


@asynccontextmanager
async def _looper() -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that makes the loads: this one has the pings to time."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults._looper", stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout
        await process.stdout.readline()  # it has started: that takes time from the servers
        yield process
    finally:
        process.kill()
        await process.wait()


async def _obey(process: asyncio.subprocess.Process, order: Mapping[str, Any]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(order).encode() + b"\n")
    assert int(await process.stdout.readline()) > 0, f"nothing was sent by {order['load']}"
