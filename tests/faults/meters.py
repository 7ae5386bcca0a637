"""What a fault measures: how long things take, and what a server process holds and logs."""

import asyncio
import json
import math
import re
import resource
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Server, Site
from tests.faults.fault import Ground

__all__ = [
    "MB",
    "Ask",
    "Memory",
    "allow_many_files",
    "asking",
    "connect",
    "lines_a_second",
    "logged",
    "look",
    "p99",
    "ping",
    "say",
    "seconds_until",
    "start_inside",
    "told_of",
]

Ask = Callable[[], Awaitable[object]]
MB = 1024 * 1024
INSIDE = "tests.faults._inside"
LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ (?:INFO|WARNING|ERROR|CRITICAL) (\S+: .*)$", re.MULTILINE)
MORE = re.compile(r" \(and (\d+) more\)")
DETAIL = re.compile(r"\b[0-9a-f]{12}\b|\d+")


# How long things take.


@asynccontextmanager
async def asking(ask: Ask, every: float = 0.02) -> AsyncIterator[list[float]]:
    """Call `ask()` again and again meanwhile; yields the list of the seconds that each took.

    The last one is waited for as well: what hangs must count.
    """
    took: list[float] = []
    is_over = asyncio.Event()

    async def go() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            await ask()
            took.append(time.monotonic() - began)
            await asyncio.sleep(every)

    task = asyncio.create_task(go())
    try:
        yield took
    finally:
        is_over.set()
        await asyncio.wait_for(task, 30)


def p99(took: Iterable[float]) -> float:
    """What 99 of 100 do not exceed."""
    ordered = sorted(took)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


def ping(client: Client) -> Ask:
    """Asks for a `pong`."""

    async def ask() -> None:
        await client.send("ping")
        await client.expect("pong")

    return ask


def say(client: Client, room: str = "general") -> Ask:
    """Sends a message and waits for its `ack`."""
    return lambda: client.say(room, "as ever")


def connect(url: str) -> Ask:
    """Connects until welcome, and goes."""

    async def ask() -> None:
        raw = await Raw.open(url)
        await raw.expect("welcome")
        raw.drop()

    return ask


async def seconds_until(
    condition: Callable[[], Awaitable[Any]], timeout: float, since: float | None = None
) -> float:
    """Wait so long for `await condition()` to be true; the seconds it took, from `since` on."""
    began = time.monotonic() if since is None else since
    while not await condition() and time.monotonic() < began + timeout:
        await asyncio.sleep(0.05)
    return time.monotonic() - began


# What a server process has.


class Memory:
    """What a process holds in memory more than when this was made, in bytes (Linux)."""

    def __init__(self, server: Server) -> None:
        assert server.popen
        self._folder = Path(f"/proc/{server.popen.pid}")
        (self._folder / "clear_refs").write_text("5")  # the highest mark starts anew
        self._before = self._read("VmRSS")

    @property
    def grown(self) -> int:
        """Now."""
        return self._read("VmRSS") - self._before

    @property
    def peak(self) -> int:
        """At the worst moment."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024


def allow_many_files() -> None:
    """Let this process, and the servers it starts, open as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start_inside(ground: Ground, **options: Any) -> Site:
    """A site whose one server can be looked into, and has handlers that break."""
    site = ground.make_site(servers=(), urls=INSIDE, **options)
    site.start("daphne", application=f"{INSIDE}:application")
    return site


async def look(server: Server) -> dict[str, int]:
    """What such a server holds now, and how many queries it has made."""

    def get() -> dict[str, int]:
        with urllib.request.urlopen(f"{server.url}/counts", timeout=30) as response:
            found: dict[str, int] = json.load(response)
            return found

    return await asyncio.to_thread(get)


# What a log says.


def logged(log: str) -> Counter[str]:
    """How many lines of each reason there are, whatever connection or number they name."""
    return Counter(DETAIL.sub("#", MORE.sub("", line)) for line in LINE.findall(log))


def lines_a_second(log: str, seconds: float) -> float:
    """Of the reason with the most; the very first line comes at once."""
    return max((number - 1 for number in logged(log).values()), default=0) / seconds


def told_of(log: str, what: str) -> int:
    """How often something happened, by the lines that say so and what they say was left out."""
    lines = [line for line in LINE.findall(log) if what in line]
    return len(lines) + sum(int(more) for line in lines for more in MORE.findall(line))
