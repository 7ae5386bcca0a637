"""Threads: what a job raises is the result of its future, whatever it is."""

import asyncio
import concurrent.futures

import pytest

from realtime.engine.database.thread_pool import ThreadPool


@pytest.mark.parametrize("error", [asyncio.CancelledError, concurrent.futures.CancelledError])
async def test_a_job_that_raises_a_cancellation_has_failed(error: type[BaseException]) -> None:
    """Nobody has cancelled it, so nobody who waits for it may seem to be cancelled."""

    def job() -> None:
        raise error

    pool = ThreadPool(1, "jobs")
    future = asyncio.wrap_future(pool.submit(job))
    await asyncio.wait([future])
    pool.finish(1)
    failure = future.exception()
    assert isinstance(failure, RuntimeError)
    assert isinstance(failure.__cause__, error)
    assert "job" in str(failure)
