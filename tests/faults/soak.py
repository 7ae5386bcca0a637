"""Everything at once and for long: clients that do all there is while faults come at random."""

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.client.frames import BINARY, TEXT
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import ROOMS, UNLIMITED, Site
from tests.faults._storm import Storm
from tests.faults._visitor import Visitor
from tests.faults.fault import Fault, Figures, Ground, fault
from tests.faults.meters import INSIDE, MB, Memory, look, seconds_until
from tests.faults.traffic import ENCODINGS, ends, settle
from tests.proxy import Proxy

__all__ = ["lasting"]

logger = logging.getLogger(__name__)
ANSWER_SECONDS = 60
DOZE_SECONDS = 8
MUCH = 200
RUBBISH = ["{", "[" * 1000, '{"type": 1}', '{"type": "message", "room": "\\u0000"}', "x" * 70_000]


@fault(
    "soak",
    "clients that do everything while servers, Redis, PostgreSQL and lines fail at random, and"
    " other clients flood or do not read",
    must={
        **NOTHING_BROKEN,
        "shown after, s": 30,
        "exit, s": 10,
        "rows left": 0,
        "left in processes": 0,
        "memory grown, MB": 16,
        "tasks": 20,
        "threads": 20,
    },
)
async def soak(ground: Ground) -> Figures:
    """In the end all catch up, go, and leave nothing behind."""
    number = random.SystemRandom().randrange(1000)
    return await _soak(ground.size(0.12, 10), number, ground)


def lasting(minutes: float, seed: int | None) -> Fault:
    """The soak, for so long; `seed` decides what breaks and what clients do, and when."""
    number = random.SystemRandom().randrange(1000) if seed is None else seed
    return replace(soak, run=partial(_soak, minutes, number))


async def _soak(minutes: float, seed: int, ground: Ground) -> Figures:
    logger.info("seed %d, %g minutes", seed, minutes)
    dice = random.Random(seed)
    lease, pulse, number = ground.size((4, 1, 12), (30, 5, 30))
    limits = {**UNLIMITED, "LEASE_SECONDS": lease, "PULSE_SECONDS": pulse}
    site = ground.make_site(
        servers=(), urls=INSIDE, own_redis=True, own_postgres=True, settings=limits
    )
    site.start("daphne", "daphne", application=f"{INSIDE}:application")
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Proxy(one.port)) for one in site.servers * 2]
        visitors = _visitors(site, lines, number, dice)
        storm = Storm(site, lines, dice)
        async with _inside(visitors):
            async with _busy(visitors), _pestered(site, dice) as pests:
                await storm.rage(minutes * 30)
                storm.spared = site.servers[1]
                memory = Memory(storm.spared)
                await storm.rage(minutes * 30)
            await asyncio.gather(*(one.until(lambda one=one: one.is_inside) for one in visitors))
            shown_after = await settle(visitors, site.database, ANSWER_SECONDS)
            grown = memory.grown
    left = await _left(site, lease)
    return {
        **reckon(visitors, site.database),
        "shown after, s": shown_after,
        "exit, s": max(storm.exits, default=0),
        **left,
        "memory grown, MB": grown / MB,
        "faults": storm.done.total(),
        "pests": pests.total(),
        "sockets lost": ends(visitors),
        "resumes filled by history": sum(visitor.refills for visitor in visitors),
        "messages": sum(site.database.last_seq(room) for room in ROOMS),
        "clients": number,
        "minutes": minutes,
        "seed": seed,
    }


# Clients.


def _visitors(site: Site, lines: list[Proxy], number: int, dice: random.Random) -> list[Visitor]:
    """A third of them at the servers themselves, the others behind lines that break."""
    visitors = []
    for one in range(number):
        behind = [f"ws://127.0.0.1:{line.port}/ws" for line in lines]
        urls = list(site.urls) if one % 3 == 0 else behind
        dice.shuffle(urls)
        name = f"visitor {one} of {dice.random()}"
        rooms = [ROOMS[one % 6], ROOMS[(one + 2) % 6]]
        visitors.append(Visitor(name, urls, rooms, ENCODINGS[one % len(ENCODINGS)]))
    return visitors


@asynccontextmanager
async def _inside(visitors: list[Visitor]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for visitor in visitors:
            await stack.enter_async_context(visitor)
        yield


@asynccontextmanager
async def _busy(visitors: list[Visitor]) -> AsyncIterator[None]:
    """Have them do things until the block ends; what is unanswered then is waited for."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(visitor.be_busy(stop)) for visitor in visitors]
    try:
        yield
        stop.set()
        with suppress(TimeoutError):  # `reckon` counts them
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _pestered(site: Site, dice: random.Random) -> AsyncIterator[Counter[str]]:
    """Have somebody misbehave until the block ends; yields how often who came."""
    done: Counter[str] = Counter()
    dice = random.Random(dice.random())  # its own: how fast it is must not change what breaks

    async def pester() -> None:
        while True:
            await asyncio.sleep(dice.uniform(0, 2))
            with suppress(EOFError, OSError, TimeoutError):
                raw = await Raw.open(dice.choice(site.urls))
                pest = dice.choice([_babble, _doze])
                done[pest.__name__] += 1
                try:
                    await pest(raw)
                finally:
                    raw.drop()

    task = asyncio.create_task(pester())
    try:
        yield done
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        await task


async def _babble(raw: Raw) -> None:
    await raw.send("join", room=ROOMS[0])
    for payload, opcode in itertools.product(RUBBISH, (TEXT, BINARY)):
        raw.write(payload, opcode)
    await raw.closed()


async def _doze(raw: Raw) -> None:
    await raw.send("join", room=ROOMS[0])
    for _ in range(MUCH):
        await raw.send("history", room=ROOMS[0], after=0, limit=100)
    await asyncio.sleep(DOZE_SECONDS)


# What is left when all have gone.


async def _left(site: Site, lease: float) -> Figures:
    """Rows that no lease covers any more, and what the servers hold, once it is time."""
    for server in site.servers:  # one that nobody came to has nothing to look into
        async with await Client.connect(server.ws) as client:
            await client.expect("welcome")

    async def is_clean() -> bool:
        traces = await _traces(site)
        return not (traces["rows left"] or traces["left in processes"])

    await seconds_until(is_clean, 2 * lease + 20)
    return await _traces(site)


async def _traces(site: Site) -> Figures:
    inside = [await look(server) for server in site.servers]
    return {
        "rows left": await asyncio.to_thread(_rows, site),
        "left in processes": sum(
            one[name] for one in inside for name in ("connections", "members", "outboxes")
        ),
        "tasks": max(one["tasks"] for one in inside),
        "threads": max(one["threads"] for one in inside),
    }


def _rows(site: Site) -> int:
    nodes = site.database.count("node") - len(site.servers)
    return nodes + site.database.count("connection") + site.database.count("presence")
