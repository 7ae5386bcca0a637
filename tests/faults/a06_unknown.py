"""Sockets that never say who they are: nothing is told to them, and they are sent away."""

import asyncio
import time

from harness.client.encoding import encode
from harness.client.frames import CLOSE, TEXT
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import UNLIMITED
from tests.faults._token import SETTINGS, headers_of, somebody
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import ping

AUTH_SECONDS = 3
UNAUTHENTICATED = 4500
ROOM = "general"


class Stranger:
    """A socket that sends frames until it is closed."""

    def __init__(self, frames: list[str | bytes], pause: float) -> None:
        self.frames = frames
        self.pause = pause
        self.code = 0
        self.held = 0.0
        self.told: list[str] = []

    async def stay(self, url: str) -> None:
        raw = await Raw.open(url)
        began = time.monotonic()
        sending = asyncio.create_task(self._send(raw))
        try:
            async with asyncio.timeout(AUTH_SECONDS * 4):
                while True:
                    opcode, payload = await raw.read_frame()
                    if opcode == CLOSE:
                        self.code = int.from_bytes(payload[:2], "big")
                        break
        except (EOFError, OSError, TimeoutError):
            pass
        self.held = time.monotonic() - began
        self.told = [str(item["type"]) for item in raw.seen]
        sending.cancel()
        raw.drop()

    async def _send(self, raw: Raw) -> None:
        for frame in self.frames:
            raw.write(frame, TEXT)
            await asyncio.sleep(self.pause)


def strangers(number: int) -> list[Stranger]:
    """Silent ones, ones that try commands, bring too much, or forge; in turn."""
    join = encode("json", {"type": "join", "room": ROOM})
    say = encode("json", {"type": "message", "room": ROOM, "content": "stranger"})
    kinds: list[tuple[list[str | bytes], float]] = [
        ([], 0),
        ([join, say], AUTH_SECONDS / 2),
        ([join, say] * 4, 0),
        (['{"type":"auth","token":"' + "x" * 5000 + '"}'], 0),
        (['{"type":"auth","token":"forged"}', join, say], 0),
        (["{"] * 9, AUTH_SECONDS / 4),
    ]
    return [Stranger(*kinds[one % len(kinds)]) for one in range(number)]


@fault(
    "A6",
    "sockets that never authenticate: silent, busy, oversized and forging, among messages",
    must={
        "not closed with 4500": 0,
        "told more than errors and the end": 0,
        "held longest, s": AUTH_SECONDS + 2,
        "stored of strangers": 0,
        "connections left": 0,
    },
)
async def unknown(ground: Ground) -> Figures:
    """Guests are off; somebody who is known talks to the room all the while."""
    settings = {
        **UNLIMITED,
        "GUESTS": False,
        "AUTH_SECONDS": AUTH_SECONDS,
        **SETTINGS,
    }
    site = ground.make_site(settings=settings, urls="tests.faults._people")
    [url] = site.urls
    ada = headers_of(await somebody(site, "ada"))
    async with await Client.connect(url, headers=ada) as client:
        await client.join(ROOM)
        await client.say(ROOM, "before")
        crowd = strangers(ground.size(60, 600))
        staying = asyncio.gather(*(one.stay(url) for one in crowd))
        heard = 0
        while not staying.done():
            await client.say(ROOM, "among ourselves")
            await ping(client)()
            heard += 1
            await asyncio.sleep(0.05)
        await staying
        rows = site.database.messages(ROOM)
        left = site.database.count("connection") - 1
    harmless = {"error", "disconnect"}
    return {
        "not closed with 4500": sum(one.code != UNAUTHENTICATED for one in crowd),
        "told more than errors and the end": sum(not {*one.told} <= harmless for one in crowd),
        "held longest, s": max(one.held for one in crowd),
        "stored of strangers": sum(row.content == "stranger" for row in rows),
        "connections left": left,
        "strangers": len(crowd),
        "messages meanwhile": heard,
    }
