"""Questions that gather: one answer each, however many ask, and nobody waits for a timer."""

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
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, keys: list[str]) -> dict[str, int]:
        self.asked.append(keys)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {key: len(key) for key in keys if key}


def asks(shared: BatchLoader[str, int], *keys: str) -> list[asyncio.Task[int | None]]:
    return [asyncio.create_task(shared.get(key)) for key in keys]


async def test_what_is_asked_meanwhile_goes_into_the_next_question() -> None:
    """The first is asked at once, all others together after it."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = asks(shared, "a")
    await ticks(2)
    others = asks(shared, "bb", "ccc", "bb")
    await asyncio.sleep(0)
    finder.gate.set()
    assert await asyncio.gather(*first, *others) == [1, 2, 3, 2]
    assert finder.asked == [["a"], ["bb", "ccc"]]


async def test_the_same_key_is_asked_again_after_its_question_has_begun() -> None:
    """An answer is never older than the call that gets it."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = asks(shared, "a")
    await ticks(2)
    again = asks(shared, "a")
    finder.gate.set()
    assert await asyncio.gather(*first, *again) == [1, 1]
    assert finder.asked == [["a"], ["a"]]


async def test_what_is_not_found_is_none() -> None:
    """Whoever asks decides what that means."""
    finder = Finder()
    finder.gate.set()
    assert await BatchLoader(finder).get("") is None


async def test_an_error_reaches_all_who_asked_and_nobody_later() -> None:
    """As where the database is away for a moment."""
    finder = Finder()
    finder.gate.set()
    finder.error = OSError("away")
    shared = BatchLoader(finder)
    results = await asyncio.gather(*asks(shared, "a", "b"), return_exceptions=True)
    assert [type(one) for one in results] == [OSError, OSError]
    finder.error = None
    assert await shared.get("a") == 1


async def test_one_who_goes_takes_nobody_along() -> None:
    """A connection may end while it waits."""
    finder = Finder()
    shared = BatchLoader(finder)
    gone, stays = asks(shared, "a", "a")
    await ticks(2)
    gone.cancel()
    finder.gate.set()
    assert await stays == 1


async def test_a_slow_question_does_not_hold_up_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another goes on beside it; only then others gather."""
    monkeypatch.setattr(batch_loader, "AT_ONCE", 2)
    finder = Finder()
    shared = BatchLoader(finder)
    tasks = []
    for key in ("a", "bb", "ccc", "dddd"):
        tasks += asks(shared, key)
        await ticks()
    assert finder.asked == [["a"], ["bb"]]
    finder.gate.set()
    assert await asyncio.gather(*tasks) == [1, 2, 3, 4]
    assert finder.asked == [["a"], ["bb"], ["ccc", "dddd"]]


async def test_what_nobody_wants_to_know_any_more_is_not_asked() -> None:
    """As where the one who asked has waited too long."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = asks(shared, "a")
    await ticks()
    [gone] = asks(shared, "bb")
    [stays] = asks(shared, "ccc")
    await ticks(1)
    gone.cancel()
    await ticks()
    finder.gate.set()
    assert await asyncio.gather(*first, stays) == [1, 3]
    assert finder.asked == [["a"], ["ccc"]]


async def test_a_storm_is_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first do not wait for the last."""
    monkeypatch.setattr(batch_loader, "KEYS", 2)
    finder = Finder()
    finder.gate.set()
    shared = BatchLoader(finder)
    keys = ["a", "bb", "ccc", "dddd", "eeeee"]
    assert await asyncio.gather(*asks(shared, *keys)) == [1, 2, 3, 4, 5]
    assert [len(asked) for asked in finder.asked] == [2, 2, 1]


async def test_what_failed_is_asked_for_fewer_at_a_time() -> None:
    """A hundred slow ones in one question would all fail, and again when they come back."""
    finder = Finder()
    finder.gate.set()
    finder.error = TimeoutError()
    shared = BatchLoader(finder)
    keys = [f"{number:03}" for number in range(250)]
    await asyncio.gather(*asks(shared, *keys), return_exceptions=True)
    assert [len(keys) for keys in finder.asked][:7] == [100, 50, 25, 12, 6, 3, 1]
    finder.error = None
    finder.asked.clear()
    await asyncio.gather(*asks(shared, *keys[:31]))
    assert [len(keys) for keys in finder.asked] == [1, 2, 4, 8, 16]


async def test_who_asks_in_the_turn_in_which_the_last_question_ends_is_answered() -> None:
    """What has ended takes no more keys, though its task is not yet done away with."""
    finder = Finder()
    shared = BatchLoader(finder)
    first = asks(shared, "a")
    await ticks(2)
    finder.gate.set()
    late = asks(shared, "bb")
    async with asyncio.timeout(1):
        assert await asyncio.gather(*first, *late) == [1, 2]
