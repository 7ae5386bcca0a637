"""Threads for the code of a site: no owner takes all of them, and the owners take turns."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

import pytest

from harness.waiting import eventually
from realtime.engine.database import fair_pool as module
from realtime.engine.database.fair_pool import FairPool
from realtime.engine.database.thread_pool import ThreadPool


class Jobs:
    """Jobs that note their beginning, and run until the gate is open."""

    def __init__(self, size: int, share: int) -> None:
        threads = ThreadPool(size, "jobs")
        self.threads = threads._threads
        self.pool = FairPool(threads, size, share)
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


# Jobs that hang.


async def test_the_threads_of_jobs_that_hang_are_replaced(four: Jobs) -> None:
    """Two owners have taken all threads; neither gets more than its share."""
    four.submit("a1", "a2", "a3", "b1", "b2", "b3")
    [third] = four.submit("c1")
    await eventually(lambda: len(four.begun) == 4)
    assert four.pool.replace_hung(60) == 0
    assert four.pool.replace_hung(0) == 4
    await eventually(lambda: "c1" in four.begun)
    assert sorted(four.begun) == ["a1", "a2", "b1", "b2", "c1"]
    four.gate.set()
    third.result(5)


async def test_so_many_threads_are_replaced_and_not_more(
    monkeypatch: pytest.MonkeyPatch, one: Jobs
) -> None:
    """Each may keep a connection to the database."""
    monkeypatch.setattr(module, "HUNG_THREADS", 2)
    jobs = one.submit("a1", "b1", "c1", "d1")
    for number in (1, 2, 3):
        await eventually(lambda number=number: len(one.begun) == number)
        assert one.pool.replace_hung(0) == min(number, 2)
    assert one.pool.waiting == 1
    one.gate.set()
    wait(jobs, 5)
    assert one.begun == ["a1", "b1", "c1", "d1"]


async def test_a_job_that_hung_ends_the_thread_in_its_place(one: Jobs) -> None:
    """So a site that has hung once does not keep threads for ever."""
    first, second = threading.Event(), threading.Event()
    hung = one.pool.submit("a", first.wait, 5)
    await eventually(lambda: one.pool.replace_hung(0) == 1)
    other = one.pool.submit("b", second.wait, 5)
    await eventually(lambda: len(one.threads) == 2)
    first.set()
    second.set()
    wait([hung, other], 5)
    await eventually(lambda: len(one.threads) == 1)
    assert one.pool.replace_hung(0) == 0
    one.gate.set()
    [last] = one.submit("a1")
    last.result(5)


async def test_jobs_that_hang_do_not_keep_others_from_finishing(four: Jobs) -> None:
    """At the end of a process, all that waits is done."""
    waiting = four.submit("a1", "a2", "a3", "b1")
    await eventually(lambda: len(four.begun) == 3)
    four.pool.replace_hung(0)
    four.gate.set()
    four.pool.finish(5)
    wait(waiting, 5)
    assert sorted(four.begun) == ["a1", "a2", "a3", "b1"]
