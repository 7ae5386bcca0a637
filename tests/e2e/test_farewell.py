"""Who is sent away has the time to hear why."""

import asyncio
import time
from contextlib import suppress

from harness.client.frames import CLOSE
from harness.client.raw import Raw
from harness.site import Factory

BEFORE_SECONDS = 0.3
LEAST_SECONDS = 0.9


async def test_a_peer_has_a_second_to_answer_a_close(make_site: Factory) -> None:
    """Also at the turn of the clock's second, with which autobahn's own patience ends."""
    site = make_site(settings={"GUESTS": True})
    [url] = site.urls
    await asyncio.sleep(1 - time.time() % 1 - BEFORE_SECONDS)
    peers = [await Raw.open(f"{url}?token=bad") for _ in range(3)]
    took = await asyncio.gather(*map(_kept_open, peers))
    assert min(took) >= LEAST_SECONDS


async def _kept_open(peer: Raw) -> float:
    """How long the server waits for an answer to its close."""
    while (await peer.read_frame())[0] != CLOSE:
        pass
    told = time.monotonic()
    with suppress(EOFError, OSError):
        async with asyncio.timeout(10):
            await peer.read_frame()
    return time.monotonic() - told
