"""Clients that never read: they are cut, and nobody else notices."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing

from harness.client.websocket import Client
from harness.site import Server
from harness.waiting import eventually
from tests.e2e.test_slow import BULK, Reader, SilentSocket
from tests.faults._bare import noise, start_bare
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import MB, Memory, p99

CLIENTS = 50
PER_SECOND = 64
"""Of 16 KB each: 1 MB/s for every member."""
READERS = ["", "", "", "ndjson", "msgpack"]
APPLICATIONS = ["project.asgi:application", "tests.e2e.wrapped:pump"]
"""The site, and the site with a queue without bounds between it and the server."""
FLOOR_SECONDS = 0.05
"""Below this a p99 is the noise of two cores that the clients and the servers share."""


class Talk:
    """One who sends, and those who read it; notes how long each message was on its way."""

    def __init__(self, sender: Client, readers: list[Reader]) -> None:
        self.sender = sender
        self.readers = readers
        self.sent: list[float] = []

    async def go_on(
        self, seconds: float, is_enough: Callable[[], bool] = lambda: False
    ) -> list[float]:
        """Send for so long or until it is enough; return how many seconds each message took."""
        first, began = len(self.sent), time.monotonic()
        while (now := time.monotonic()) < began + seconds and not is_enough():
            content = f"{len(self.sent)}{BULK}"
            self.sent.append(now)
            await self.sender.send("message", room="general", content=content)
            due = began + (len(self.sent) - first) / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await eventually(lambda: all(len(one.arrived) == len(self.sent) for one in self.readers))
        return [
            reader.arrived[number] - self.sent[number]
            for reader in self.readers
            for number in range(first, len(self.sent))
        ]


@fault(
    "F10",
    f"{CLIENTS} clients that never read, in a room with 1 MB/s, also behind middleware",
    must={"not cut": 0, "last cut, s": 10, "memory of each, MB": 2, "others' p99, times": 2},
)
async def clients_that_never_read(ground: Ground) -> Figures:
    """Five members of the same room read as ever; the worst of the two counts.

    A server that does nothing is asked at the same time: what is late there is the machine's delay.
    """
    site = ground.make_site(servers=())
    bare = start_bare(site)
    of_each = []
    for application in APPLICATIONS:
        [server] = site.start("daphne", application=application)
        of_each.append(await _neglected(server, bare, ground))
        server.terminate()
    return {name: max(one[name] for one in of_each) for name in of_each[0]}


async def _neglected(server: Server, bare: Server, ground: Ground) -> Figures:
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(await Client.connect(server.ws))
        await sender.join("general")
        readers = [Reader(await Client.connect(server.ws, encoding)) for encoding in READERS]
        for reader in readers:
            await stack.enter_async_context(reader.client)
            await reader.client.join("general")
            stack.callback(asyncio.create_task(reader.watch()).cancel)
        talk = Talk(sender, readers)
        async with noise(bare) as before:
            without = p99(await talk.go_on(ground.size(3, 15)))
        silent = [
            stack.enter_context(closing(SilentSocket(server, "general"))) for _ in range(CLIENTS)
        ]
        memory = Memory(server)
        cuts = asyncio.create_task(_watch(silent))
        is_enough = ground.size(cuts.done, lambda: False)  # in CI when all are cut
        async with noise(bare) as meanwhile:
            beside = p99(await talk.go_on(ground.size(11, 15), is_enough))
        cut_after = await cuts
        control = max(without, p99(before), p99(meanwhile), FLOOR_SECONDS)
        return {
            "not cut": CLIENTS - len(cut_after),
            "last cut, s": max(cut_after, default=0),
            "memory of each, MB": memory.peak / CLIENTS / MB,
            "others' p99 without, ms": without * 1000,
            "others' p99 beside, ms": beside * 1000,
            "of a bare server beside, ms": p99(meanwhile) * 1000,
            "others' p99, times": beside / control,
        }


async def _watch(silent: list[SilentSocket], seconds: float = 15) -> list[float]:
    """After how many seconds each was cut."""
    began = time.monotonic()
    cut_after: list[float] = []
    left = list(silent)
    while left and time.monotonic() < began + seconds:
        cut = [one for one in left if one.is_cut()]
        cut_after += [time.monotonic() - began] * len(cut)
        left = [one for one in left if one not in cut]
        await asyncio.sleep(0.05)
    return cut_after
