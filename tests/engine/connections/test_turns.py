"""The time that one connection runs before others have their turn."""

import asyncio
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from realtime.engine.connections import turns
from realtime.engine.connections.turns import TURN_SECONDS, Passes, Turn


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with patch.object(turns, "time", clock):
        yield clock


async def test_a_turn_is_over_after_its_time(clock: Clock) -> None:
    turn = Turn(Passes(asyncio.get_running_loop()))
    assert not turn.is_over
    clock.now += TURN_SECONDS
    assert not turn.is_over
    clock.now += 0.001
    assert turn.is_over


async def test_the_next_pass_of_the_loop_begins_another(clock: Clock) -> None:
    """Also for a connection that has waited for something else meanwhile."""
    turn = Turn(Passes(asyncio.get_running_loop()))
    for _ in range(3):
        assert not turn.is_over
        clock.now += 1
        assert turn.is_over
        await asyncio.sleep(0)


async def test_each_connection_has_its_own(clock: Clock) -> None:
    """So that many busy ones do not keep each other from ever running."""
    passes = Passes(asyncio.get_running_loop())
    first, second = Turn(passes), Turn(passes)
    assert not first.is_over
    clock.now += 1
    assert first.is_over
    assert not second.is_over
