"""Run functions in daemon threads: a process that ends does not wait for one that hangs."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import ParamSpec, TypeVar

__all__ = ["Job", "ThreadPool", "settle"]

P = ParamSpec("P")
T = TypeVar("T")
Job = Callable[[], None]


class ThreadPool(Executor):
    """At most `size` threads that execute jobs in order; each calls `at_end` before it ends.

    It differs from the pool of the standard library in its end. That pool joins its threads when
    Python exits, so a thread that waits for a frozen database would keep the process for ever.
    """

    def __init__(self, size: int, name: str, at_end: Job = lambda: None) -> None:
        self._size = size
        self._name = name
        self._at_end = at_end
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._started = 0
        self._lock = Lock()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function` in a thread; return a future with its result or exception."""
        future: Future[T] = Future()
        self.start(lambda: settle(future, function, *args, **kwargs))
        return future

    def start(self, job: Job) -> None:
        """Run a job in a thread; what it raises ends the thread."""
        with self._lock:
            if len(self._threads) < self._size:
                name = f"{self._name}_{self._started}"
                self._started += 1
                self._threads.append(Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        self._jobs.put(job)

    def grow(self) -> None:
        """Allow one thread more, in place of one that hangs."""
        with self._lock:
            self._size += 1

    def shrink(self) -> None:
        """Allow one thread less, and end the next one that is idle."""
        with self._lock:
            self._size -= 1
            if len(self._threads) > self._size:
                self._jobs.put(None)

    def finish(self, seconds: float) -> None:
        """Finish the queued jobs and end the threads; a slower thread ends after its job."""
        threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.shutdown()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """End each thread after its job, and drop the queued jobs."""
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            pass
        for _ in list(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
                del job  # releases what it holds before the next job comes
        finally:
            with self._lock:
                self._threads.remove(current_thread())
            self._at_end()


def settle(
    future: Future[T], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> None:
    """Run `function`, and give its result or exception to a future that is not cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(*args, **kwargs))
    except BaseException as error:
        is_failure = isinstance(error, Exception) and not isinstance(error, CancelledError)
        future.set_exception(error if is_failure else _failure(function, error))


def _failure(function: Callable[..., object], error: BaseException) -> RuntimeError:
    """Return a failure for what would cancel the task that waits, or end the process."""
    failure = RuntimeError(f"{function!r} has raised {error!r} in its thread.")
    failure.__cause__ = error
    return failure
