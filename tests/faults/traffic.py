"""Clients that talk while something breaks, and what is measured meanwhile."""

import asyncio
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from harness.client.chatter import Chatter
from harness.client.consistency import all_caught_up
from harness.client.topic_chatter import TopicChatter
from harness.client.websocket import Client
from harness.database import Database
from harness.services import Postgres, Redis
from harness.site import Server, Site
from harness.waiting import eventually
from tests.faults.fault import Figures

__all__ = [
    "ENCODINGS",
    "ROOMS",
    "TWO",
    "all_reach",
    "back",
    "clients",
    "ends",
    "exit_time",
    "inside",
    "messages",
    "reply_times",
    "settle",
    "some_acks",
    "started",
    "stopped",
    "talking",
    "total",
    "traffic",
]

TWO = ("daphne", "daphne")
ROOMS = ["general", "room-0", "room-1"]
ENCODINGS = ["", "ndjson", "msgpack", "ndjson", "msgpack"]
EXIT_SECONDS = 30
SETTLE_SECONDS = 30
REPLY_SECONDS = 30
VISIT_SECONDS = 0.5
CALL_COST = 3
"""How much more a call of a topic's command, with the site's code, costs than a message."""


def clients(site: Site, number: int, *, may_restart: bool = False) -> list[Chatter]:
    """Clients at the site's servers in turn; each knows where to go when its own is away.

    All are in `ROOMS`. In the first everybody speaks; in each other one only those of one
    server do, so that a server that does not hear the others stays ignorant of it.
    """
    return [
        site.client(
            f"client {one}",
            _route(site.urls, one),
            ROOMS,
            ENCODINGS[one % len(ENCODINGS)],
            may_restart=may_restart,
        )
        for one in range(number)
    ]


def _route(urls: list[str], number: int) -> list[str]:
    home = number % len(urls)
    return urls[home:] + urls[:home]


@asynccontextmanager
async def inside(chatters: list[Chatter]) -> AsyncIterator[list[Chatter]]:
    """Let clients be in their rooms for the length of a block."""
    async with AsyncExitStack() as stack:
        for chatter in chatters:
            await stack.enter_async_context(chatter)
        yield chatters


@asynccontextmanager
async def talking(chatters: Sequence[Chatter], per_second: float) -> AsyncIterator[None]:
    """Let each say so much until the block ends; what is unanswered then is waited for."""
    stop = asyncio.Event()
    every = 1 / per_second * (CALL_COST if isinstance(chatters[0], TopicChatter) else 1)
    talks = [
        asyncio.create_task(
            _talk(chatter, _speaks_in(chatter, number), every, number / len(chatters), stop)
        )
        for number, chatter in enumerate(chatters)
    ]
    try:
        yield
        stop.set()
        with suppress(TimeoutError):  # `reckon` counts them
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*talks)
    finally:
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def _speaks_in(chatter: Chatter, number: int) -> list[str]:
    first, *others = chatter.known
    return [first, others[number % len(others)]] if others else [first]


async def _talk(
    chatter: Chatter, rooms: list[str], every: float, share: float, stop: asyncio.Event
) -> None:
    began = time.monotonic() + every * share
    async with asyncio.TaskGroup() as said:
        for turn in itertools.count():
            await asyncio.sleep(began + turn * every - time.monotonic())
            if stop.is_set():
                return
            said.create_task(chatter.say(rooms[turn % len(rooms)], f"{chatter.name} {turn}"))


@asynccontextmanager
async def traffic(
    site: Site, number: int, per_second: float, *, may_restart: bool = False
) -> AsyncIterator[list[Chatter]]:
    """Clients of all servers that talk until the block ends, and then until all is shown."""
    async with inside(clients(site, number, may_restart=may_restart)) as chatters:
        async with talking(chatters, per_second):
            yield chatters
        await settle(chatters, site.database)


async def settle(
    chatters: Iterable[Chatter], database: Database, seconds: float = SETTLE_SECONDS
) -> float:
    """Wait until every client shows all there is; returns how long that took, or `seconds`."""
    began = time.monotonic()
    with suppress(TimeoutError):  # `reckon` counts what is not shown
        async with asyncio.timeout(seconds):
            await all_caught_up(chatters, database, seconds)
    return time.monotonic() - began


async def some_acks(chatters: Sequence[Chatter], number: int = 5) -> None:
    """Wait until each got so many more messages acknowledged."""
    ends = [len(chatter.acks) + number for chatter in chatters]
    for chatter, end in zip(chatters, ends, strict=True):
        await chatter.until(lambda chatter=chatter, end=end: len(chatter.acks) >= end)


def messages(site: Site) -> int:
    """How many there are in all."""
    return site.database.count("message")


async def all_reach(chatters: Iterable[Chatter], room: str, position: int) -> None:
    """Wait until each has come so far in a room."""
    for chatter in chatters:
        known = chatter.known[room]
        await chatter.until(lambda known=known: known.position >= position)


async def back(chatters: Sequence[Chatter], seconds: float = 30) -> list[float]:
    """Wait until each, whose socket was lost just now, is in its rooms; how long each took."""
    before = [len(chatter.resumed) for chatter in chatters]
    for chatter, number in zip(chatters, before, strict=True):
        await chatter.until(
            lambda chatter=chatter, number=number: len(chatter.resumed) > number, seconds
        )
    return [chatter.resumed[number] for chatter, number in zip(chatters, before, strict=True)]


def ends(chatters: Iterable[Chatter]) -> int:
    """How many open sockets these clients have lost."""
    return sum(len(chatter.ends) for chatter in chatters)


async def started(process: Server | Redis | Postgres) -> None:
    """Start a process, again, without holding up the clients."""
    # Spawned here and not in a thread: it dies with the thread that started it.
    process.spawn()
    await eventually(process.answers, 60, process.command[0])


async def stopped(process: Server | Redis | Postgres) -> None:
    """Ask a process to stop, and wait until it has."""
    await asyncio.to_thread(process.terminate)


async def exit_time(server: Server) -> float:
    """How long a server takes to end after SIGTERM; one that does not is killed after 30 s."""
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    with suppress(TimeoutError):
        await eventually(lambda: not server.is_running(), EXIT_SECONDS)
    took = time.monotonic() - began
    server.kill()
    return took


async def reply_times(url: str, room: str, until: float) -> list[float]:
    """Come, join a room and read it, and go, again and again; how long each answer took."""
    took: list[float] = []
    while time.monotonic() < until:
        took += await _visit(url, room)
        await asyncio.sleep(VISIT_SECONDS)
    return took


async def _visit(url: str, room: str) -> list[float]:
    began = time.monotonic()
    async with await Client.connect(url, "json") as client:
        await client.expect("welcome", REPLY_SECONDS)
        took = [time.monotonic() - began, await _reply_time(client, "ping")]
        for kind in ("join", "history", "presence", "leave"):
            took.append(await _reply_time(client, kind, room=room))
    return took


async def _reply_time(client: Client, kind: str, **fields: Any) -> float:
    """How long a command waits for its reply, be it an error."""
    began = time.monotonic()
    ref = f"{kind} {began}"
    await client.send(kind, ref=ref, **fields)
    with suppress(TimeoutError):
        while (await client.receive(REPLY_SECONDS)).get("ref") != ref:
            pass
    return time.monotonic() - began


def total(runs: Sequence[Figures]) -> Figures:
    """The figures of several runs in one: of times the longest, of all else the sum."""
    return {
        name: (max if name.endswith(", s") else sum)(figures[name] for figures in runs)
        for name in runs[0]
    }
