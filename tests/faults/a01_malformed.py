"""Nonsense from a hundred sockets, and large frames of it from one client: others go on."""

import asyncio
import time
from contextlib import AsyncExitStack

from harness.client.frames import BINARY, CONTINUATION, TEXT, frame
from harness.client.raw import Raw
from harness.client.websocket import Client
from tests.e2e.test_input import HURTFUL
from tests.faults._looper import FRAMES as LARGE
from tests.faults.beside import BEHIND_PROXY, Load, felt_by_others
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import asking, lines_a_second, p99, say

SOCKETS, FRAMES = 100, 100
TOO_MANY_ERRORS = 4511
NONSENSE = [text for text in HURTFUL.values() if len(text) < 2000]
"""Whole frames that are no commands."""
BROKEN = [
    b"\x81\x05hello",  # not masked
    b"\xf1\x80" + bytes(4),  # bits that nobody has agreed on
    frame("x", 3),  # no such opcode
    frame("x", CONTINUATION),  # continues nothing
    frame(b"\xff\xfe"),  # no UTF-8
    b"\x89\xfe\x00\x7e" + bytes(4 + 126),  # a ping that is too long
]
"""What is not even a frame; it is for the server to drop."""
RESET = 1006
ENDS = (TOO_MANY_ERRORS, RESET)
"""Who still sends when the server has closed may get TCP's reset before it has read the code."""
SHARE_BROKEN = 10
"""Every tenth socket sends that."""


@fault(
    "A1",
    f"{SOCKETS * FRAMES:,} malformed frames from {SOCKETS} sockets (full: ten times); frames of "
    "thousands of objects in each encoding, from one client",
    must={
        "left open, or closed otherwise": 0,
        "broken ones left open": 0,
        "log lines a second": 1,
        "tracebacks": 0,
        "servers dead": 0,
        "others' ping p99 beside one client, times": 2,
    },
)
async def malformed(ground: Ground) -> Figures:
    """Three others get each of their messages acknowledged meanwhile, or it fails."""
    site = ground.make_site()
    [server] = site.servers
    began = time.monotonic()
    codes: list[int] = []
    dropped: list[bool] = []
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(await Client.connect(server.ws)) for _ in "123"]
        for client in others:
            await client.join("general")
        acks = [await stack.enter_async_context(asking(say(client))) for client in others]
        for _ in range(ground.size(1, 10)):
            ends = await asyncio.gather(*(_offend(server.ws, one) for one in range(SOCKETS)))
            codes += [code for one, code in enumerate(ends) if one % SHARE_BROKEN]
            dropped += [code > 0 for one, code in enumerate(ends) if not one % SHARE_BROKEN]
    log, seconds = server.log(), time.monotonic() - began
    async with await Client.connect(server.ws) as newcomer:
        await newcomer.join("general")
    limited = ground.make_site(settings=BEHIND_PROXY)
    loads, seconds_of_each = [Load(name) for name in LARGE], ground.size(0.6, 5)
    felt = await felt_by_others(limited.urls[0], loads, seconds_of_each)
    return {
        "left open, or closed otherwise": sum(code not in ENDS for code in codes),
        "reset before 4511 was read": codes.count(RESET),
        "broken ones left open": dropped.count(False),
        "log lines a second": lines_a_second(log, seconds),
        "tracebacks": log.count("Traceback"),
        "servers dead": not (server.is_running() and limited.servers[0].is_running()),
        "others' acks": sum(map(len, acks)),
        "others' ack p99, ms": p99(took for one in acks for took in one) * 1000,
        **felt,
    }


async def _offend(url: str, number: int) -> int:
    """Send it all at once; the close code, or 0 where there is no end."""
    raw = await Raw.open(url)
    try:
        for turn in range(number, number + FRAMES):
            if number % SHARE_BROKEN:
                text = NONSENSE[turn % len(NONSENSE)]
                raw.write(text, TEXT if isinstance(text, str) else BINARY)
            else:
                raw.writer.write(BROKEN[turn // SHARE_BROKEN % len(BROKEN)])
        return await raw.closed()
    except TimeoutError:
        return 0
    finally:
        raw.drop()
