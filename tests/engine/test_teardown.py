"""A loop that ends with an engine that was not stopped: `asyncio.run` waits for every task."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from realtime.engine import teardown
from realtime.engine.engine import Engine
from tests.lines import all_again


def run(main: Callable[[], Coroutine[Any, Any, None]], seconds: float = 20) -> list[BaseException]:
    """Run as a test of a site does, in a thread; what it raised. Fails where it does not end."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the loop does not end"
    return raised


async def swallow(times: int) -> None:
    """A task of some library that loses cancellations (python/cpython#86296)."""
    while times:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            times -= 1
    await asyncio.sleep(3600)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_swallowed_cancellation_keeps_no_loop(sqlite: str, times: int) -> None:
    async def main() -> None:
        engine = await Engine.current()
        engine.unregister()
        engine.keep = asyncio.ensure_future(swallow(times))  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    assert run(main) == []


def test_an_engine_that_has_only_begun_keeps_none_either(sqlite: str) -> None:
    async def main() -> None:
        starting = asyncio.ensure_future(Engine.current())
        await asyncio.sleep(0)
        Engine.here().unregister()  # type: ignore[union-attr]
        starting.add_done_callback(lambda task: None)
        engine_task = asyncio.ensure_future(swallow(1))
        await asyncio.sleep(0)
        assert not engine_task.done()

    assert run(main) == []


def test_a_task_that_never_ends_fails_the_test_and_is_named(
    sqlite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Instead of hanging it; Python closes the loop all the same."""
    monkeypatch.setattr(teardown, "AGAIN_SECONDS", 0.01)
    all_again()

    async def main() -> None:
        engine = await Engine.current()
        engine.unregister()
        engine.keep = asyncio.ensure_future(swallow(1000))  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR, "realtime.engine"):
        [error] = run(main)
    assert "Event loop stopped" in str(error)
    assert "swallow" in caplog.text


def test_what_python_does_at_the_end_is_left_alone(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for threads of the loop, in tasks that are younger."""
    monkeypatch.setattr(teardown, "AGAIN_SECONDS", 0.01)
    done: list[float] = []

    def work() -> None:
        time.sleep(0.3)
        done.append(time.monotonic())

    async def main() -> None:
        engine = await Engine.current()
        engine.unregister()
        asyncio.get_running_loop().run_in_executor(None, work)

    assert run(main) == []
    assert done


async def test_a_stopped_engine_leaves_no_task(sqlite: str) -> None:
    before = asyncio.all_tasks()
    engine = await Engine.current()
    await engine.stop()
    engine.unregister()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
