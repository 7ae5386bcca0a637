"""The calls of one connection: their order, how many run at once, and their one answer."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from harness.waiting import eventually
from realtime.consumers.topics import call_queue as module
from realtime.consumers.topics.call_queue import CallQueue, PendingCall
from realtime.wire.commands import Call
from realtime.wire.errors import CommandError


class Site:
    """Handlers that run until the test lets them go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.refused: list[tuple[str, CommandError]] = []
        self.done: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self.queue = CallQueue(self.execute)

    async def execute(self, call: PendingCall) -> None:
        name = call.command.name
        try:
            await call.in_loop(self.handle(name))
            if call.claim_answer():
                self.done.append(name)
        except CommandError as error:
            call.refuse(error)

    async def handle(self, name: str) -> None:
        self.begun.append(name)
        await self._gate(name).wait()

    def release(self, *names: str) -> None:
        for name in names:
            self._gate(name).set()

    async def call(self, topic: str, name: str) -> None:
        command = Call(topic=topic, name=name)
        named: Any = SimpleNamespace(name=topic)
        await self.queue.add(named, command, lambda error: self.refused.append((name, error)))

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


@pytest.fixture
async def site() -> Any:
    made = Site()
    yield made
    made.queue.close()


def outcomes(site: Site) -> list[tuple[str, str, str | None]]:
    return [(name, error.code, error.outcome) for name, error in site.refused]


async def test_calls_to_one_topic_run_one_after_the_other_in_order(site: Site) -> None:
    for name in "abc":
        await site.call("one", name)
    await eventually(lambda: site.begun == ["a"])
    site.release("b", "c")
    await asyncio.sleep(0)
    assert site.begun == ["a"]
    site.release("a")
    await eventually(lambda: site.done == ["a", "b", "c"])
    await site.call("one", "d")  # the topic is served again after its queue was empty
    site.release("d")
    await eventually(lambda: site.done == ["a", "b", "c", "d"])


async def test_calls_to_several_topics_run_four_at_a_time(site: Site) -> None:
    for number in range(6):
        await site.call(f"topic {number}", str(number))
    await eventually(lambda: site.begun == ["0", "1", "2", "3"])
    await asyncio.sleep(0)
    assert len(site.begun) == 4
    site.release("2")
    await eventually(lambda: site.begun == ["0", "1", "2", "3", "4"])


async def test_a_topic_with_many_calls_leaves_turns_to_the_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.queue._turns = asyncio.Semaphore(1)
    for name in ("a", "b", "c"):
        await site.call("many", name)
    await site.call("other", "x")
    site.release("a", "b", "c", "x")
    await eventually(lambda: len(site.done) == 4)
    assert site.done.index("x") < site.done.index("c")


async def test_a_call_beyond_those_in_flight_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 2)
    await site.call("one", "a")
    await site.call("one", "b")
    third = asyncio.ensure_future(site.call("one", "c"))
    await eventually(lambda: site.begun == ["a"])
    assert not third.done()
    site.release("a")
    await third


async def test_a_call_that_takes_too_long_is_answered_and_cancelled(
    site: Site, settings: Any
) -> None:
    """Its outcome is unknown; those that have waited as long were not executed."""
    settings.REALTIME = {"HANDLER_SECONDS": 0.05}
    await site.call("one", "a")
    await site.call("one", "b")
    await eventually(lambda: len(site.refused) == 2)
    assert outcomes(site) == [("a", "unavailable", "unknown"), ("b", "unavailable", None)]
    assert all(error.retry_after == 1 for _, error in site.refused)
    settings.REALTIME = {"HANDLER_SECONDS": 5}
    await site.call("one", "c")
    await eventually(lambda: site.begun == ["a", "c"])


class Threads(Site):
    """The same with handlers in threads; each has a future that the test settles.

    With `are_free`, each handler begins at once, however busy the machine is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.are_free = False
        self.futures: dict[str, Future[str]] = {}

    async def execute(self, call: PendingCall) -> None:
        name = call.command.name
        future = self.futures[name] = Future()
        if self.are_free:
            future.set_running_or_notify_cancel()
        try:
            result = await call.in_thread(future)
            if call.claim_answer():
                self.done.append(result)
        except CommandError as error:
            call.refuse(error)


@pytest.fixture
async def threads() -> Any:
    made = Threads()
    yield made
    made.queue.close()


async def test_a_thread_that_has_begun_keeps_its_turn_until_it_ends(
    threads: Threads, settings: Any
) -> None:
    """The client has got its answer long before."""
    settings.REALTIME = {"HANDLER_SECONDS": 0.05}
    threads.are_free = True
    await threads.call("one", "a")
    await eventually(lambda: bool(threads.refused))
    assert outcomes(threads) == [("a", "unavailable", "unknown")]
    settings.REALTIME = {"HANDLER_SECONDS": 5}
    await threads.call("one", "b")
    await asyncio.sleep(0.01)
    assert "b" not in threads.futures
    threads.futures["a"].set_result("late")
    await eventually(lambda: "b" in threads.futures)
    threads.futures["b"].set_result("b")
    await eventually(lambda: threads.done == ["b"])
    assert len(threads.refused) == 1


async def test_a_call_that_has_not_begun_never_does_after_its_answer(
    threads: Threads, settings: Any
) -> None:
    settings.REALTIME = {"HANDLER_SECONDS": 0.05}
    await threads.call("one", "a")
    await eventually(lambda: bool(threads.refused))
    assert outcomes(threads) == [("a", "unavailable", None)]
    assert not threads.futures["a"].set_running_or_notify_cancel()


async def test_calls_that_hang_hold_no_more_than_those_in_flight(
    threads: Threads, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 3)
    settings.REALTIME = {"HANDLER_SECONDS": 0.02}
    threads.are_free = True
    await threads.call("one", "a")
    await eventually(lambda: "a" in threads.futures)
    for number in range(20):
        await threads.call("one", str(number))
    await eventually(lambda: len(threads.refused) == 21)
    assert len(threads.queue._calls) == 1
    assert [len(one) for one in threads.queue._waiting.values()] == [0]
    threads.futures["a"].set_result("a")


async def test_a_thread_that_fails_after_the_connection_has_closed_is_logged(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    await threads.call("one", "a")
    await eventually(lambda: "a" in threads.futures)
    threads.futures["a"].set_running_or_notify_cancel()
    threads.queue.close()
    await eventually(lambda: not threads.queue._workers)
    threads.futures["a"].set_exception(ZeroDivisionError())
    await eventually(lambda: "a call failed after its connection had closed" in caplog.text)
    assert (threads.done, threads.refused) == ([], [])


async def test_closing_drops_what_waits_and_cancels_what_runs(site: Site) -> None:
    cancelled: list[str] = []

    async def handle(name: str) -> None:
        site.begun.append(name)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    site.handle = handle  # type: ignore[method-assign]
    await site.call("one", "a")
    await site.call("one", "b")
    await eventually(lambda: site.begun == ["a"])
    site.queue.close()
    await eventually(lambda: cancelled == ["a"])
    await eventually(lambda: not site.queue._workers)
    assert (site.begun, site.done, site.refused) == (["a"], [], [])
