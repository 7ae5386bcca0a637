"""Threads for the code of a site: no owner takes all of them, and the owners take turns."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

import pytest

from harness.waiting import eventually
from realtime.engine.database.fair_pool import FairPool
from realtime.engine.database.thread_pool import ThreadPool


class Jobs:
    """Jobs that note their beginning, and run until the gate is open."""

    def __init__(self, size: int, share: int) -> None:
        self.pool = FairPool(ThreadPool(size, "jobs"), size, share)
        self.gate = threading.Event()
        self.begun: list[str] = []

    def submit(self, *names: str) -> list[Future[None]]:
        """Submit jobs; the first letter of a name is that of the owner."""
        return [self.pool.submit(name[0], self._run, name) for name in names]

    def _run(self, name: str) -> None:
        self.begun.append(name)
        self.gate.wait(5)


@pytest.fixture
def four() -> Iterator[Jobs]:
    jobs = Jobs(4, 2)
    yield jobs
    jobs.gate.set()
    jobs.pool.finish(5)


@pytest.fixture
def one() -> Iterator[Jobs]:
    jobs = Jobs(1, 1)
    yield jobs
    jobs.gate.set()
    jobs.pool.finish(5)


async def test_an_owner_has_at_most_its_share(four: Jobs) -> None:
    four.submit("a1", "a2", "a3")
    four.submit("b1")
    await eventually(lambda: sorted(four.begun) == ["a1", "a2", "b1"])
    assert (four.pool.waiting, four.pool.waiting_of("a"), four.pool.waiting_of("b")) == (1, 1, 0)
    four.submit("c1")
    await eventually(lambda: "c1" in four.begun)
    assert "a3" not in four.begun


async def test_the_owners_take_turns(one: Jobs) -> None:
    first = one.submit("a1")
    await eventually(lambda: one.begun == ["a1"])
    rest = one.submit("a2", "a3", "a4", "b1", "b2", "c1")
    one.gate.set()
    wait(first + rest, 5)
    assert one.begun == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_a_job_that_is_cancelled_does_not_wait_any_more(one: Jobs) -> None:
    one.submit("a1")
    await eventually(lambda: one.begun == ["a1"])
    [second, third] = one.submit("a2", "a3")
    assert second.cancel()
    assert one.pool.waiting == 1
    one.gate.set()
    third.result(5)
    assert one.begun == ["a1", "a3"]
    assert one.pool._threads == {}


async def test_a_job_that_raises_gives_its_thread_back(one: Jobs) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    failed = one.pool.submit("a", broken)
    with pytest.raises(ZeroDivisionError):
        failed.result(5)
    one.gate.set()
    assert one.submit("a1")[0].result(5) is None


async def test_at_the_end_the_jobs_that_wait_are_finished(four: Jobs) -> None:
    jobs = four.submit("a1", "a2", "a3", "a4")
    await eventually(lambda: len(four.begun) == 2)
    four.gate.set()
    four.pool.finish(5)
    assert all(job.done() and not job.cancelled() for job in jobs)
    assert len(four.begun) == 4


async def test_many_jobs_of_many_owners_are_all_done_with_many_cancelled() -> None:
    """From several threads at once, as their ends are."""
    jobs = Jobs(4, 2)
    jobs.gate.set()
    futures: list[Future[None]] = []

    def submit(owner: str) -> None:
        for number in range(300):
            [future] = jobs.submit(f"{owner}{number}")
            if number % 3 == 0:
                future.cancel()
            futures.append(future)

    threads = [threading.Thread(target=submit, args=(owner,)) for owner in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await eventually(lambda: all(future.done() for future in futures))
    ran = [one for one in futures if not one.cancelled()]
    await eventually(lambda: not jobs.pool._running)
    assert len(jobs.begun) == len(ran)
    assert (jobs.pool.waiting, jobs.pool._threads) == (0, {})
    jobs.pool.finish(5)
