"""Frames that carry no command, as fast as the line takes them: nobody else notices."""

import asyncio
import time
from contextlib import suppress

from harness.client.frames import CONTINUATION, PING, PONG, TEXT, frame
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Server
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import asking, p99, ping

BLOCK = 500
EVERY_SECONDS = 0.05
FLOOR_SECONDS = 0.02
CUT_SECONDS = 5
KINDS = {
    "pings": frame(b"", PING),
    "pings of 125 bytes": frame(bytes(125), PING),
    "pongs": frame(b"", PONG),
    "empty texts": frame(b"", TEXT),
    "empty fragments": frame(b"", CONTINUATION, is_last=False),
    "broken commands": frame(b"{"),
    "commands": frame(b'{"type":"ping"}'),
}


class Flood:
    """One socket that sends the same frame without pause, and reads nothing."""

    def __init__(self, raw: Raw, unit: bytes) -> None:
        self.raw = raw
        self.block = unit * BLOCK
        self.sent = 0
        self.seconds = 0.0
        """After how many seconds the server ended it."""

    async def run(self) -> None:
        """Send until the server ends it."""
        began = time.monotonic()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2 * CUT_SECONDS):
                while not self.raw.writer.is_closing():
                    self.raw.writer.write(self.block)
                    self.sent += BLOCK
                    await self.raw.writer.drain()
                    await asyncio.sleep(0)
        self.raw.drop()
        self.seconds = time.monotonic() - began


@fault(
    "A13",
    "one socket that sends pings, pongs, empty texts, empty fragments or commands at line rate,"
    " and reads nothing",
    must={"last cut, s": CUT_SECONDS, "others' p99, times": 2},
)
async def frames(ground: Ground) -> Figures:
    """Each kind of frame in turn, on Daphne and on uvicorn; the worse of the two counts."""
    site = ground.make_site(servers=("daphne", "uvicorn"), settings={"GUESTS": True})
    of_each = [await _flooded(server, ground) for server in site.servers]
    worst = {name: max(one[name] for one in of_each) for name in of_each[0]}
    return {
        "last cut, s": worst["cut"],
        "others' p99, times": worst["beside"] / max(worst["without"], FLOOR_SECONDS),
        "others' p99 without, ms": worst["without"] * 1000,
        "others' p99 beside, ms": worst["beside"] * 1000,
        "most frames sent": worst["sent"],
    }


async def _flooded(server: Server, ground: Ground) -> Figures:
    without: list[float] = []
    beside: list[float] = []
    floods: list[Flood] = []
    async with asyncio.TaskGroup() as group:
        for unit in KINDS.values():
            async with await Client.connect(server.ws) as other:
                async with asking(ping(other), EVERY_SECONDS) as took:
                    await asyncio.sleep(ground.size(0.5, 3))
                without += took
                flood = Flood(await Raw.open(server.ws), unit)
                floods.append(flood)
                async with asking(ping(other), EVERY_SECONDS) as took:
                    # A server that reads no more of it cuts it seconds later.
                    await asyncio.wait(
                        [group.create_task(flood.run())],
                        timeout=ground.size(1.5, 2 * CUT_SECONDS),
                    )
                beside += took
    return {
        "cut": max(one.seconds for one in floods),
        "without": p99(without),
        "beside": p99(beside),
        "sent": max(one.sent for one in floods),
    }
