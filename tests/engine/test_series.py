"""The last 15 minutes of a process: steps, sums and what others inherit."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from realtime.counts import counts
from realtime.engine import series as module
from realtime.engine.bus.notes import Past
from realtime.engine.engine import Engine
from realtime.engine.series import ENDED, STEP_SECONDS, STEPS, Series, Step
from realtime.wire.errors import CloseCode
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]

NOW = int(time.time()) // STEP_SECONDS


def step(at: int = NOW, deliveries: int = 0) -> Step:
    return Step(at, 1, 0, 0, 0, deliveries, 0, 0, 0, [])


def past(node: str, *steps: Step) -> Past:
    return Past(node, msgspec.json.encode(steps).decode())


@pytest.fixture
def series(engine: Engine) -> Iterator[Series]:
    counts.reset()
    made = Series(engine)
    yield made
    made.stop()


async def test_a_step_has_what_happened_in_it_alone(series: Series) -> None:
    counts.deliver(3, 2, 100, members=5)
    counts.acks.add(0.002)
    counts.refused["crowded"] += 1
    counts.close(CloseCode.SLOW)
    series.take(1)
    counts.deliver(1, 1, 100, members=5)
    series.take(2)
    first, second = series.steps
    assert (first.at, first.frames_sent, first.deliveries) == (1, 10, 15)
    assert (first.refused, first.slow, first.acks[:3]) == (1, 1, [0, 1, 0])
    assert (second.at, second.deliveries, second.refused, second.acks) == (2, 5, 0, [])


async def test_what_happened_before_the_start_is_not_counted(engine: Engine) -> None:
    """A process may make another engine."""
    counts.deliveries += 100
    series = Series(engine)
    series.take(1)
    assert series.steps[0].deliveries == 0


async def test_only_fifteen_minutes_are_kept(series: Series) -> None:
    for at in range(STEPS + 5):
        series.take(at)
    assert [one.at for one in series.steps] == list(range(5, STEPS + 5))


async def test_a_clock_that_is_set_back_drops_the_steps_of_the_later_time(series: Series) -> None:
    for at in (10, 11, 12, 5, 6):
        series.take(at)
    assert [one.at for one in series.steps] == [5, 6]


async def test_a_timer_that_is_a_little_early_takes_the_step_that_ends(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds in (9.99, 15.01, 20.0):
        monkeypatch.setattr(module.time, "time", lambda now=seconds: now)
        series._tick()
    assert [one.at for one in series.steps] == [1, 2, 3]


async def test_a_process_that_stops_hands_over_what_it_knows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what it has inherited; another process that has that already keeps it once."""
    sent: list[Any] = []
    monkeypatch.setattr(engine.hub.layer, "publish", lambda topic, note: sent.append(note))
    series, heir = Series(engine), Series(engine)
    series.start()
    series.inherit(past("older", step(deliveries=7)))
    series.stop()
    series.stop()
    assert [note.node for note in sent] == [engine.node.id, "older"]
    sent[0].node = "stopped"
    for note in [*sent, *sent]:
        heir.inherit(note)
    assert [one.node for one in heir.ended] == ["stopped", "older"]
    assert heir.ended[1].steps[0].deliveries == 7


async def test_the_steps_of_ended_processes_are_bounded(series: Series) -> None:
    """In number, in age and in length."""
    series.inherit(past("old", step(NOW - STEPS - 1)))
    series.inherit(past("empty"))
    assert series.ended == []
    for number in range(ENDED + 3):
        series.inherit(past(f"n{number}", step()))
    assert [one.node for one in series.ended] == [f"n{number}" for number in range(3, ENDED + 3)]
    with pytest.raises(ValueError, match="15 minutes"):
        series.inherit(past("long", *[step()] * (STEPS + 1)))


@pytest.mark.parametrize("text", ["", "{}", "[[1]]", '[["a",0,0,0,0,0,0,0,0,[]]]', "["])
async def test_a_broken_note_is_refused(series: Series, text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        series.inherit(Past("other", text))
    assert series.ended == []


async def test_a_process_keeps_no_second_copy_of_itself(series: Series, engine: Engine) -> None:
    series.inherit(past(engine.node.id, step()))
    assert series.ended == []
