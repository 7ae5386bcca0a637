"""G1: somebody saves a room as it was some messages ago; a topic is about that room."""

import asyncio
import sys

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.site import ROOT
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, some_acks, traffic

STALE_SAVES = """
import django
django.setup()
from realtime.models import Room
for title in iter(input, ""):
    room = Room.objects.get(slug="general")
    print("loaded", flush=True)
    input()
    room.title = title
    room.save()
    print("saved", flush=True)
"""


@fault(
    "G1",
    "a stale `room.save()` between two appends, by another process",
    must={**NOTHING_BROKEN, "sockets closed": 0, "saves without effect": 0},
    in_topics=True,
)
async def stale(ground: Ground) -> Figures:
    """The room is saved, and the numbering of its log goes on."""
    number, rate, saves = ground.size((4, 20, 3), (20, 20, 50))
    site = ground.make_site(servers=TWO)
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STALE_SAVES, cwd=ROOT, env=site.env, stdin=pipe, stdout=pipe
    )
    without_effect = 0
    try:
        async with traffic(site, number, rate) as chatters:
            for turn in range(saves):
                title = f"renamed {turn}"
                await _ask(other, title, "loaded")
                await some_acks(chatters, 2)
                await _ask(other, "", "saved")
                await some_acks(chatters, 2)
                query = "SELECT title FROM realtime_room WHERE slug = 'general'"
                without_effect += site.database.rows(query) != [(title,)]
    finally:
        other.kill()
        await other.wait()
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "saves without effect": without_effect,
    }


async def _ask(other: asyncio.subprocess.Process, line: str, answer: str) -> None:
    assert other.stdin
    assert other.stdout
    other.stdin.write(f"{line}\n".encode())
    said = await asyncio.wait_for(other.stdout.readline(), 30)
    assert said == f"{answer}\n".encode()
