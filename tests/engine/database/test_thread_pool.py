"""Threads: what a job raises is the result of its future, whatever it is."""

import asyncio
import concurrent.futures

import pytest

from realtime.engine.database.thread_pool import ThreadPool

NO_FAILURES = [
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    SystemExit,
    KeyboardInterrupt,
]


@pytest.mark.parametrize("error", NO_FAILURES)
async def test_a_job_that_raises_what_is_no_failure_has_failed(error: type[BaseException]) -> None:
    """It must not cancel the task that waits for it, nor end the process, as `sys.exit()` would."""

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
