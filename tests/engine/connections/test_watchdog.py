"""Commands that take long."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django.fixtures import Settings

from realtime.engine.connections import watchdog as module
from realtime.engine.connections.watchdog import Watchdog
from realtime.wire.codecs import JSON
from tests.client import eventually
from tests.engine.ends import End, Noted


class Worker(Noted):
    """A connection that notes what it is told."""

    __slots__ = ("told",)

    def stop_reading(self) -> None:
        self.told.append("stop")

    def give_up(self) -> None:
        self.told.append("give up")


def make_worker() -> Worker:
    end = End()
    made = Worker("n.1", end, end.server.send, JSON)
    made.told = []
    return made


@pytest.fixture
async def watchdog(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> AsyncIterator[Watchdog]:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.01)
    settings.REALTIME = {**settings.REALTIME, "HANDLER_SECONDS": 0.2}
    made = Watchdog()
    yield made
    made.stop()


async def test_who_takes_long_is_told_to_stop_reading_and_then_to_give_up(
    watchdog: Watchdog,
) -> None:
    worker = make_worker()
    watchdog.begin(worker)
    await eventually(lambda: "give up" in worker.told)
    assert set(worker.told[: worker.told.index("give up")]) == {"stop"}
    await eventually(lambda: worker.told.count("give up") == 2)  # it did not listen
    watchdog.finish(worker)


async def test_who_is_done_in_time_hears_nothing(watchdog: Watchdog) -> None:
    quick, slow = make_worker(), make_worker()
    watchdog.begin(slow)
    watchdog.begin(quick)
    watchdog.finish(quick)
    await eventually(lambda: "give up" in slow.told)
    assert quick.told == []
    watchdog.finish(slow)


async def test_each_part_of_a_command_has_its_own_time(watchdog: Watchdog) -> None:
    worker = make_worker()
    end = asyncio.get_running_loop().time() + 0.5
    while asyncio.get_running_loop().time() < end:
        watchdog.begin(worker)
        await asyncio.sleep(0)
    watchdog.finish(worker)
    assert worker.told == []


async def test_it_does_not_look_while_nobody_is_busy(watchdog: Watchdog) -> None:
    worker = make_worker()
    watchdog.begin(worker)
    watchdog.finish(worker)
    await eventually(lambda: watchdog._timer is None)
    watchdog.begin(worker)
    await eventually(lambda: "give up" in worker.told)
    watchdog.finish(worker)


async def test_it_counts_on_a_look_that_comes_late(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Timers are never early: what is nearly due at the next look would be late there."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.25)
    settings.REALTIME = {**settings.REALTIME, "HANDLER_SECONDS": 5}
    worker = make_worker()
    watchdog._since[worker] = asyncio.get_running_loop().time() - 4.745
    watchdog._check()
    assert worker.told == ["give up"]
