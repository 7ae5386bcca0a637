"""Others use the same tables: a stale save rewinds nothing, a lock costs only its own room."""

import asyncio
import statistics
import sys
import time

from tests.client import Client
from tests.site import ROOT, Factory, Site

STALE_SAVE = """
import django
django.setup()
from realtime.models import Room
room = Room.objects.get(slug="general")
print("loaded", flush=True)
input()
room.title = "renamed"
room.save()
"""


async def test_a_stale_room_saved_between_two_messages_rewinds_nothing(make_site: Factory) -> None:
    """Another process loads the room and saves it after more messages: numbering goes on."""
    site = make_site()
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general")
        assert [(await client.say("general", f"before {turn}"))["seq"] for turn in range(3)] == [
            1,
            2,
            3,
        ]
        other = await _start(site, STALE_SAVE)
        assert other.stdout
        assert await other.stdout.readline() == b"loaded\n"
        assert [(await client.say("general", f"between {turn}"))["seq"] for turn in range(3)] == [
            4,
            5,
            6,
        ]
        await asyncio.wait_for(other.communicate(b"\n"), 30)
        assert other.returncode == 0
        assert [(await client.say("general", f"after {turn}"))["seq"] for turn in range(3)] == [
            7,
            8,
            9,
        ]
        assert site.database.rows("SELECT title FROM realtime_room WHERE slug = 'general'") == [
            ("renamed",)
        ]
        assert [row.seq for row in site.database.messages("general")] == list(range(1, 10))


async def test_a_head_locked_by_somebody_else_for_five_seconds_delays_only_its_own_room(
    make_site: Factory,
) -> None:
    """One connection's message waits for the lock; its others, and everybody else's, do not."""
    site = make_site()
    async with (
        await Client.connect(site.urls[0]) as blocked,
        await Client.connect(site.urls[0]) as free,
    ):
        for client in (blocked, free):
            await client.join("room-1")
            await client.join("room-2")
        await free.say("room-1", "so that there is a head")
        with site.database.connect() as holder:
            holder.execute(
                "SELECT 1 FROM realtime_head h JOIN realtime_room r ON r.id = h.room_id"
                " WHERE r.slug = 'room-1' FOR UPDATE OF h"
            )
            await blocked.send("message", room="room-1", content="waits", ref="waits")
            took = [await _ack_times(client, seconds=2.5) for client in (free, blocked)]
            holder.rollback()
        for times in took:
            assert max(times) < 2
            assert statistics.median(times) < 0.25
        assert not any(item.get("ref") == "waits" for item in blocked.seen)
        ack = await blocked.expect("ack", 10, ref="waits")
        assert ack["seq"] == 2


async def _ack_times(client: Client, seconds: float) -> list[float]:
    """Send message after message to the free room; returns how long each acknowledgement took."""
    started = time.monotonic()
    took: list[float] = []
    while time.monotonic() < started + seconds:
        before = time.monotonic()
        await client.say("room-2", f"does not wait {len(took)}")
        took.append(time.monotonic() - before)
    return took


async def _start(site: Site, code: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, env=site.env, stdin=pipe, stdout=pipe
    )
