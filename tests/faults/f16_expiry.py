"""A layer that forgets who is in a group: nobody goes deaf."""

import asyncio
import time
from contextlib import AsyncExitStack

from harness.client.websocket import Client
from harness.site import UNLIMITED
from tests.faults.fault import Figures, Ground, fault

EXPIRY_SECONDS = 4
"""The `group_expiry` of the layer "forgetful"; by default it is a day."""
SETTINGS = {**UNLIMITED, "PULSE_SECONDS": 0.5}
EVERY_SECONDS = 0.1


class Listener:
    """Notes when each message and each signal came."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.came: dict[str, dict[int, float]] = {"message": {}, "signal": {}}

    async def listen(self) -> None:
        while True:
            match await self.client.receive(3600):
                case {"type": "message", "content": content}:
                    self.came["message"][int(content)] = time.monotonic()
                case {"type": "signal", "data": {"number": number}}:
                    self.came["signal"][number] = time.monotonic()


@fault(
    "F16",
    f"memberships older than the layer's `group_expiry`, here {EXPIRY_SECONDS} s",
    must={"messages lost": 0, "signals lost": 0, "slowest, s": 1},
)
async def expiry(ground: Ground) -> Figures:
    """Through the core layer, from a client of one server to one of the other, all the time.

    Signals are stored nowhere: they show that the layer itself goes on. A message that came by
    the pulse alone would take longer than it may.
    """
    site = ground.make_site(servers=("daphne", "daphne"), layer="forgetful", settings=SETTINGS)
    async with AsyncExitStack() as stack:
        sender, receiver = [
            await stack.enter_async_context(await Client.connect(url)) for url in site.urls
        ]
        for client in (sender, receiver):
            await client.join("general")
        listener = Listener(receiver)
        stack.callback(asyncio.create_task(listener.listen()).cancel)
        sent: list[float] = []
        end = time.monotonic() + EXPIRY_SECONDS * ground.size(2.5, 15)
        while time.monotonic() < end:
            number = len(sent)
            sent.append(time.monotonic())
            await sender.send("message", room="general", content=str(number))
            await sender.send("signal", room="general", data={"number": number})
            await asyncio.sleep(EVERY_SECONDS)
        await _arrival(listener, len(sent))
    took = [
        at - sent[number] for arrived in listener.came.values() for number, at in arrived.items()
    ]
    return {
        "messages lost": len(sent) - len(listener.came["message"]),
        "signals lost": len(sent) - len(listener.came["signal"]),
        "slowest, s": max(took),
        "sent of each": len(sent),
    }


async def _arrival(listener: Listener, number: int) -> None:
    """Give the last ones time; what has not come by then is lost."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if all(len(arrived) == number for arrived in listener.came.values()):
            return
        await asyncio.sleep(0.05)
