"""One user who sends without pause, or asks for all that is costly: the others hardly notice."""

import asyncio
import json
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from urllib.parse import quote

from benchmarks.runner import SESSIONS
from harness.client.encoding import Object
from harness.client.frames import CLOSE, TEXT
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.database import Row
from harness.site import Site
from tests.faults._looper import COMMANDS, FLOOD
from tests.faults.beside import BEHIND_PROXY, Load, felt_by_others
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import asking, p99, say

A_SECOND = 1000
STEP_SECONDS = 0.02
RATE, BURST = 10, 30
RATE_LIMITED = 4029
OTHERS, EVERY_SECONDS = 10, 0.2
FLOOR_SECONDS = 0.02
GUESTS = 10
"""As many users' allowances the guests of one address have together."""
TIMES_BESIDE_GUESTS = 8
OF_USERS = ("read", "configure")
"""What only users do; here they own the room."""
_PREPARE = """
import django
django.setup()
from django.contrib.auth import get_user_model
from realtime.models import Membership, Room
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
room = Room.objects.get(slug="general")
for user in get_user_model().objects.all():
    Membership.objects.create(room=room, user=user, role="owner")
for start in range(0, 1000, 100):
    texts = [f"message {number} " + "x" * 100 for number in range(start, start + 100)]
    drafts = [Draft(room_id=room.pk, content=one, sender="1", username="x") for one in texts]
    room_numbering.append(drafts)
"""


class Flooder:
    """One socket of a user; comes back at once whenever it is closed."""

    def __init__(self, url: str, a_second: float) -> None:
        self.url = url
        self.a_second = a_second
        self.sent = 0
        self.is_warned = False
        self.codes: list[int] = []

    async def flood(self, end: float) -> None:
        """Send so much a second until `end`, as far as it is let."""
        while time.monotonic() < end:
            raw = await Raw.open(self.url)
            reading = asyncio.create_task(self._read(raw))
            try:
                await raw.send("join", room="general")
                while time.monotonic() < end and not reading.done():
                    for _ in range(int(self.a_second * STEP_SECONDS)):
                        await raw.send("message", room="general", content="flood")
                        self.sent += 1
                    await asyncio.sleep(STEP_SECONDS)
            finally:
                reading.cancel()
                raw.drop()

    async def _read(self, raw: Raw) -> None:
        with suppress(EOFError, OSError):
            while True:
                opcode, payload = await raw.read_frame()
                if opcode == TEXT:
                    self.is_warned |= _is_warning(raw.seen.pop())
                elif opcode == CLOSE:
                    self.codes.append(int.from_bytes(payload[:2], "big"))
                    return


@fault(
    "A4",
    f"{A_SECOND:,} messages a second from one socket, then from five of one user; costly commands "
    f"from one client and {GUESTS} guests of one address",
    must={
        "never warned": 0,
        "never closed with 4029": 0,
        "closed otherwise": 0,
        "stored beyond the limit": 0,
        "others' p99, times": 2,
        "others' ping p99 beside one client, times": 2,
        f"others' ping p99 beside {GUESTS} guests, times": TIMES_BESIDE_GUESTS,
    },
)
async def flood(ground: Ground) -> Figures:
    """With the default limits; a flooder that is closed comes back at once and goes on."""
    site = ground.make_site(settings={})
    [url] = site.urls
    seconds = ground.size(3, 20)
    flooders: list[Flooder] = []
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(await Client.connect(url)) for _ in range(OTHERS)]
        for client in others:
            await client.join("general", history=0)
        without = await _acks(others, asyncio.sleep(seconds))
        beside, beyond = [], 0.0
        for sockets in (1, 5):
            token = await _token(url)
            group = [Flooder(f"{url}?token={token}", A_SECOND / sockets) for _ in range(sockets)]
            end = time.monotonic() + seconds
            floods = asyncio.gather(*(one.flood(end) for one in group))
            beside.append(p99(await _acks(others, floods)))
            flooders += group
            allowed = BURST + RATE * (seconds + 1)
            beyond += max(0.0, _stored(site.database.messages("general")) - allowed * len(beside))
    base = max(p99(without), FLOOR_SECONDS)
    limited = ground.make_site(settings=BEHIND_PROXY)
    loads = _costly(_prepared(limited))
    felt = await felt_by_others(limited.urls[0], loads, ground.size(0.4, 4))
    return {
        "never warned": sum(not one.is_warned for one in flooders),
        "never closed with 4029": sum(RATE_LIMITED not in one.codes for one in flooders),
        "closed otherwise": sum(code != RATE_LIMITED for one in flooders for code in one.codes),
        "stored beyond the limit": beyond,
        "others' p99, times": max(beside) / base,
        "others' p99 without, ms": p99(without) * 1000,
        "others' p99 beside, ms": max(beside) * 1000,
        "sent": sum(one.sent for one in flooders),
        "connections of the flooders": sum(len(one.codes) for one in flooders),
        **felt,
    }


def _prepared(site: Site) -> str:
    """Make a room with a log, and its owner; return the owner's cookie."""
    file = site.folder / "owner.json"
    site.run("-c", SESSIONS, "1", str(file))
    site.run("-c", _PREPARE)
    [cookie] = json.loads(file.read_text())
    return str(cookie)


def _costly(cookie: str) -> list[Load]:
    alone = [Load(name, cookie=cookie if name in OF_USERS else "") for name in (*COMMANDS, FLOOD)]
    of_guests = [name for name in COMMANDS if name not in OF_USERS]
    return alone + [Load(name, GUESTS, most=TIMES_BESIDE_GUESTS) for name in of_guests]


async def _acks(others: list[Client], meanwhile: Awaitable[object]) -> list[float]:
    """How long the others' acknowledgements took while something went on."""
    async with AsyncExitStack() as stack:
        took = [
            await stack.enter_async_context(asking(say(client), EVERY_SECONDS)) for client in others
        ]
        await meanwhile
    return [one for each in took for one in each]


async def _token(url: str) -> str:
    """That of a new guest, who may open more than one socket with it."""
    async with await Client.connect(url) as client:
        return quote((await client.expect("welcome"))["guest_token"])


def _is_warning(item: Object) -> bool:
    return item["type"] == "error" and item["code"] == "rate_limited"


def _stored(rows: list[Row]) -> int:
    return sum(row.content == "flood" for row in rows)
