"""Threads for work that may hang: a process that ends does not wait for them."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import ParamSpec, TypeVar

__all__ = ["ThreadPool"]

P = ParamSpec("P")
T = TypeVar("T")
Job = Callable[[], None]


class ThreadPool(Executor):
    """At most `size` threads that take jobs in turn; each calls `at_end` before it ends.

    As the standard library's pool of threads, but for its end: that joins its threads when Python
    exits, so one that waits for a database which does not answer would keep the process for good.
    """

    def __init__(self, size: int, name: str, at_end: Job = lambda: None) -> None:
        self._size = size
        self._name = name
        self._at_end = at_end
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._lock = Lock()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread run `function`; its result, or what it raises, is the future's."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            if len(self._threads) < self._size:
                name = f"{self._name}_{len(self._threads)}"
                self._threads.append(Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        self._jobs.put(job)
        return future

    def finish(self, seconds: float) -> None:
        """Let the threads do what waits, and end; those that take longer end after their job."""
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.shutdown()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Let each thread end after its job; what waits is not done any more."""
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            pass
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
                del job  # and with it what it holds, until the next one comes
        finally:
            self._at_end()
