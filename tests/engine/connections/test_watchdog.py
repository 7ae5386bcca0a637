"""Commands that take long pause reading, and are cancelled in the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.connections import watchdog as module
from realtime.engine.connections.watchdog import Watchdog
from realtime.wire.codecs import JSON
from tests.engine.ends import End, Noted


class Worker(Noted):
    """A connection that records the calls of the watchdog."""

    __slots__ = ("calls",)

    def stop_reading(self) -> None:
        self.calls.append("stop")

    def give_up(self) -> None:
        self.calls.append("give up")


def make_worker() -> Worker:
    end = End()
    made = Worker("n.1", end, end.server.send, JSON)
    made.calls = []
    return made


@pytest.fixture
async def watchdog(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> AsyncIterator[Watchdog]:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.01)
    settings.REALTIME = {**settings.REALTIME, "HANDLER_SECONDS": 0.2}
    made = Watchdog()
    yield made
    made.stop()


async def test_a_long_command_pauses_reading_and_is_then_cancelled(
    watchdog: Watchdog,
) -> None:
    worker = make_worker()
    watchdog.begin(worker)
    await eventually(lambda: "give up" in worker.calls)
    assert set(worker.calls[: worker.calls.index("give up")]) == {"stop"}
    await eventually(lambda: worker.calls.count("give up") == 2)  # the first one had no effect
    watchdog.finish(worker)


async def test_a_command_that_is_done_in_time_has_no_effect(watchdog: Watchdog) -> None:
    quick, slow = make_worker(), make_worker()
    watchdog.begin(slow)
    watchdog.begin(quick)
    watchdog.finish(quick)
    await eventually(lambda: "give up" in slow.calls)
    assert quick.calls == []
    watchdog.finish(slow)


async def test_each_part_of_a_command_has_its_own_time(watchdog: Watchdog) -> None:
    worker = make_worker()
    end = asyncio.get_running_loop().time() + 0.5
    while asyncio.get_running_loop().time() < end:
        watchdog.begin(worker)
        await asyncio.sleep(0)
    watchdog.finish(worker)
    assert worker.calls == []


async def test_no_timer_runs_while_no_command_does(watchdog: Watchdog) -> None:
    worker = make_worker()
    watchdog.begin(worker)
    watchdog.finish(worker)
    await eventually(lambda: watchdog._timer is None)
    watchdog.begin(worker)
    await eventually(lambda: "give up" in worker.calls)
    watchdog.finish(worker)


async def test_a_late_check_is_allowed_for(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Timers are never early: a command that is nearly due would be late at the next check."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.25)
    settings.REALTIME = {**settings.REALTIME, "HANDLER_SECONDS": 5}
    worker = make_worker()
    watchdog._since[worker] = asyncio.get_running_loop().time() - 4.745
    watchdog._check()
    assert worker.calls == ["give up"]
