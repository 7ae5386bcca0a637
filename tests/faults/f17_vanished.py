"""A peer that vanishes without a FIN, as a phone in a tunnel: it is not present for long."""

import time
from contextlib import AsyncExitStack

from harness.client.raw import PROMISES, Raw
from harness.client.websocket import Client
from harness.site import UNLIMITED
from tests.faults.fault import Figures, Ground, fault

HEARTBEAT_SECONDS = 20
SHORT_HEARTBEAT_SECONDS = 2
WAIT_SECONDS = 90


@fault("F17", "a peer that vanishes without a FIN", must={"offline, s": 60})
async def vanished(ground: Ground) -> Figures:
    """It answers nothing, not even a ping, and its connection stays open.

    In CI the heartbeat is short and what two of the usual length would take more is added; the
    plainest client, which only the server's own pings find out, is in the full form alone.
    """
    heartbeat = ground.size(SHORT_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
    settings = {**UNLIMITED, "HEARTBEAT_SECONDS": heartbeat}
    [url] = ground.make_site(settings=settings).urls
    async with AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(await Client.connect(url))
        await watcher.join("general")
        silent = {}
        for headers in ground.size([PROMISES], [PROMISES, {}]):
            raw = await Raw.open(url, headers)
            stack.callback(raw.drop)
            name = (await raw.expect("welcome"))["user_id"]
            await raw.send("join", room="general", ref=1)
            await raw.expect("joined", ref=1)
            silent[name] = time.monotonic()
        took = await _offline(watcher, silent)
    shortened = 2 * (HEARTBEAT_SECONDS - heartbeat)
    return {"offline, s": max(took) + shortened}


async def _offline(watcher: Client, silent: dict[str, float]) -> list[float]:
    """For each, the seconds until the watcher saw it leave, or time was up."""
    took: list[float] = []
    try:
        while len(took) < len(silent):
            left = (await watcher.expect("left", WAIT_SECONDS))["user_id"]
            took.append(time.monotonic() - silent[left])
    except TimeoutError:
        took.append(WAIT_SECONDS)
    return took
