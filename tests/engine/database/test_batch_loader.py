"""The batch loader: one result for each key, and no waiting for a timer."""

import asyncio

import pytest

from realtime.engine.database import batch_loader
from realtime.engine.database.batch_loader import BatchLoader
from tests.engine.ends import ticks


@pytest.fixture(autouse=True)
def one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_loader, "AT_ONCE", 1)


class Finder:
    """Answers with the length of each key; holds every question until `gate` is set."""

    def __init__(self) -> None:
        self.queries: list[list[str]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, keys: list[str]) -> dict[str, int]:
        self.queries.append(keys)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {key: len(key) for key in keys if key}


def look_up(shared: BatchLoader[str, int], *keys: str) -> list[asyncio.Task[int | None]]:
    return [asyncio.create_task(shared.get(key)) for key in keys]


async def test_keys_that_come_during_a_query_form_the_next_batch() -> None:
    """The first key is looked up at once, all others together after it."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = look_up(shared, "a")
    await ticks(2)
    others = look_up(shared, "bb", "ccc", "bb")
    await asyncio.sleep(0)
    finder.gate.set()
    assert await asyncio.gather(*first, *others) == [1, 2, 3, 2]
    assert finder.queries == [["a"], ["bb", "ccc"]]


async def test_a_key_is_looked_up_again_after_its_query_has_begun() -> None:
    """An answer is never older than the call that gets it."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = look_up(shared, "a")
    await ticks(2)
    again = look_up(shared, "a")
    finder.gate.set()
    assert await asyncio.gather(*first, *again) == [1, 1]
    assert finder.queries == [["a"], ["a"]]


async def test_what_is_not_found_is_none() -> None:
    """The caller decides what that means."""
    finder = Finder()
    finder.gate.set()
    assert await BatchLoader(finder).get("") is None


async def test_an_error_reaches_all_callers_of_its_batch_and_no_later_one() -> None:
    """As where the database is away for a moment."""
    finder = Finder()
    finder.gate.set()
    finder.error = OSError("away")
    shared = BatchLoader(finder)
    results = await asyncio.gather(*look_up(shared, "a", "b"), return_exceptions=True)
    assert [type(one) for one in results] == [OSError, OSError]
    finder.error = None
    assert await shared.get("a") == 1


async def test_a_cancelled_caller_cancels_no_other() -> None:
    """A connection may end while it waits."""
    finder = Finder()
    shared = BatchLoader(finder)
    gone, stays = look_up(shared, "a", "a")
    await ticks(2)
    gone.cancel()
    finder.gate.set()
    assert await stays == 1


async def test_a_slow_query_does_not_block_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another query runs beside it; only then others gather."""
    monkeypatch.setattr(batch_loader, "AT_ONCE", 2)
    finder = Finder()
    shared = BatchLoader(finder)
    tasks = []
    for key in ("a", "bb", "ccc", "dddd"):
        tasks += look_up(shared, key)
        await ticks()
    assert finder.queries == [["a"], ["bb"]]
    finder.gate.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3, 4]
    assert finder.queries == [["a"], ["bb"], ["ccc", "dddd"]]


async def test_a_key_without_callers_is_not_looked_up() -> None:
    """Its caller may have reached its timeout."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = look_up(shared, "a")
    await ticks()
    [gone] = look_up(shared, "bb")
    [stays] = look_up(shared, "ccc")
    await ticks(1)
    gone.cancel()
    await ticks()
    finder.gate.set()
    assert await asyncio.gather(*first, stays) == [1, 3]
    assert finder.queries == [["a"], ["ccc"]]


async def test_a_storm_is_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first do not wait for the last."""
    monkeypatch.setattr(batch_loader, "KEYS", 2)
    finder = Finder()
    finder.gate.set()
    shared = BatchLoader(finder)
    keys = ["a", "bb", "ccc", "dddd", "eeeee"]
    assert await asyncio.gather(*look_up(shared, *keys)) == [1, 2, 3, 4, 5]
    assert [len(keys) for keys in finder.queries] == [2, 2, 1]


async def test_batches_are_smaller_after_a_failure() -> None:
    """A hundred slow ones in one question would all fail, and again when they come back."""
    finder = Finder()
    finder.gate.set()
    finder.error = TimeoutError()
    shared = BatchLoader(finder)
    keys = [f"{number:03}" for number in range(250)]
    await asyncio.gather(*look_up(shared, *keys), return_exceptions=True)
    assert [len(keys) for keys in finder.queries][:7] == [100, 50, 25, 12, 6, 3, 1]
    finder.error = None
    finder.queries.clear()
    await asyncio.gather(*look_up(shared, *keys[:31]))
    assert [len(keys) for keys in finder.queries] == [1, 2, 4, 8, 16]


async def test_a_key_that_comes_in_the_turn_of_the_last_result_is_looked_up() -> None:
    """An ended batch accepts no more keys, although its task still exists."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = look_up(shared, "a")
    await ticks(2)
    finder.gate.set()
    late = look_up(shared, "bb")
    async with asyncio.timeout(10):
        assert await asyncio.gather(*first, *late) == [1, 2]
