"""The clock that a test moves."""

import time
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models.functions import Now
from django.utils import timezone

from realtime import moderation
from realtime.models import Node, Room
from realtime.testing import Refused, clock, connect, engine


@sync_to_async
def database_time() -> Any:
    return Room.objects.annotate(now=Now()).get().now


async def test_slow_mode_passes_without_waiting(ada: Any, room: Room) -> None:
    """A message that comes too soon is refused, and one that comes later is not."""
    await Room.objects.aupdate(slow_seconds=30)
    async with clock() as moved, connect(ada) as client:
        await client.join(room)
        await client.message(room, "one")
        with pytest.raises(Refused, match="slow mode"):
            await client.message(room, "two")
        await moved.advance(15)
        with pytest.raises(Refused) as caught:
            await client.message(room, "two")
        assert 0 < caught.value.retry_after <= 15
        await moved.advance(15)
        await client.message(room, "two")


async def test_a_silent_client_is_pinged_and_then_closed(ada: Any) -> None:
    """One that answers is not."""
    async with clock() as moved, connect(ada) as silent, connect(ada) as other:
        silent.answers_pings = False
        await moved.advance(50)
        assert (await silent.closed()).code == 4009
        assert await other.settled() == []
        assert [item["type"] for item in other.arrived].count("ping") >= 2
        assert other.is_open


async def test_others_are_told_of_a_lost_client_after_the_grace(
    ada: Any, bob: Any, room: Room
) -> None:
    async with clock() as moved, connect(ada) as one, connect(bob) as other:
        await one.join(room)
        await other.join(room)
        await one.next("joined", username="bob")
        await other.drop_connection()
        await moved.advance(2)
        assert await one.settled() == []
        await moved.advance(2)
        assert (await one.next("left"))["username"] == "bob"


async def test_a_ban_ends(ada: Any, room: Room) -> None:
    """Days pass at once."""
    async with clock() as moved, connect(ada) as client:
        await moderation.aban(room, ada, by=None, seconds=3 * 24 * 3600)
        with pytest.raises(Refused, match="banned"):
            await client.join(room)
        await moved.jump(3 * 24 * 3600 + 1)
        await client.join(room)


async def test_the_lease_is_renewed_on_the_way(ada: Any) -> None:
    """By the clock of the database, as the queries of the package see it."""
    async with clock() as moved, connect(ada):
        await moved.advance(1)
        first = (await Node.objects.aget()).expires_at
        await moved.advance(20)
        assert (await Node.objects.aget()).expires_at > first + timedelta(seconds=14)
        assert await Node.objects.filter(expires_at__gt=Now()).aexists()


async def test_all_clocks_move_together_and_come_back(room: Room) -> None:
    names: dict[str, Any] = {"time": time.time, "monotonic": time.monotonic, "now": timezone.now}
    before = {name: read() for name, read in names.items()}
    async with clock() as moved:
        await moved.advance(100)
        assert time.time() - before["time"] > 100
        assert time.monotonic() - before["monotonic"] > 100
        assert timezone.now() - before["now"] > timedelta(seconds=100)
        assert await database_time() - before["now"] > timedelta(seconds=99)
    assert (time.time, time.monotonic, timezone.now) == tuple(names.values())
    assert await database_time() - before["now"] < timedelta(seconds=50)


async def test_time_does_not_go_back_nor_too_far(room: Room) -> None:
    async with clock() as moved:
        for seconds in (-1, 3601, float("nan")):
            with pytest.raises(ValueError, match="jump"):
                await moved.advance(seconds)
        with pytest.raises(ValueError, match="forward"):
            await moved.jump(-1)


async def test_the_clock_comes_before_the_engine(room: Room) -> None:
    """Otherwise its timers would be left behind."""
    async with engine():
        with pytest.raises(RuntimeError, match="before the engine"):
            async with clock():
                pass
