"""Commit messages, changes and events in batches: while one commit runs, the next batch gathers.

There is no artificial delay: a batch is what arrived meanwhile. A failure stays where it belongs:
a bad submission fails alone, and a log that another transaction has locked waits alone. While the
database is away, a submission is tried again until its deadline. Repeating is idempotent: a draft
has a nonce, and a change that was made before changes nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, overload
from uuid import uuid4

from msgspec.structs import replace

from ...conf import config
from ...counts import counts
from ...logs import get_logger
from ...spans import Origin, spans
from ...store.logs import MADE_NONCE
from ...store.messages.drafts import Draft, Stored
from ...store.outbox.batch import Numbering, Submission, number_log, write_all
from ...store.outbox.batch import Result as AnyResult
from ...store.outbox.pending_messages import BacklogError
from ...store.outbox.room_batch import Change
from ...store.topics.drafts import EntryDraft, FirstTry, StoredEntry
from ...wire.errors import CommandError
from .executor import Database
from .failures import is_lock_timeout, is_passing, refusal, unavailable

__all__ = ["Committed", "Result", "Writer"]

logger = get_logger("realtime.writer")

Committed = Stored | StoredEntry
Result = Stored | CommandError
BATCH_SIZE = 500
QUEUE_SIZE = 10_000
NUMBERINGS = 1000
"""The most topics of a transaction that are queued one by one; one request stands for more."""
LOCK_MS = 500
ALONE_LOCK_MS = 50
BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
SWEEP_SECONDS = 0.5
SQLITE_PAUSE_SECONDS = 0.001
"""The pause between commits, in which other processes can write to the file."""


@dataclass(slots=True)
class Job:
    """A draft, a change, or a request to number a log, that has to be written."""

    submission: Submission
    done: Callable[[Any], None]
    queued_at: float
    deadline: float
    tried: bool = False
    is_done: bool = False
    origin: Origin | None = None
    """The span that has queued it, if there is one."""


class Writer:
    """Writes drafts and changes in order of arrival; calls `committed` with each new state.

    It also numbers what transactions of this process have published. `tell_hooks` is called once
    with each stored message and change, if the site has hooks.
    """

    def __init__(
        self,
        db: Database,
        committed: Callable[[Committed], None],
        tell_hooks: Callable[[Stored], None] | None = None,
    ) -> None:
        self._db = db
        self._committed = committed
        self._tell_hooks = tell_hooks
        self._jobs: list[Job] = []
        self._locked: dict[str, list[Job]] = {}
        """The jobs of logs that another transaction has locked, by log key."""
        self._numberings: dict[str, Job] = {}
        """The requests to number that are queued, by log key; one stands for all later ones."""
        self.open: deque[Job] = deque()  # not certain yet, and some that are done
        self._is_sweep_due = False
        self.waiting = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._locked_tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_idle(self) -> bool:
        """Whether everything that was queued is written."""
        return self._idle.is_set()

    async def drain(self, seconds: float) -> None:
        """Wait until everything queued is committed, at most for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def stop(self) -> None:
        """Stop; clients send again what was not acknowledged."""
        for task in [*self._locked_tasks, *([self._task] if self._task else [])]:
            task.cancel()

    @overload
    def submit(self, submission: Draft | Change, done: Callable[[Result], None]) -> None: ...
    @overload
    def submit(
        self, submission: EntryDraft, done: Callable[[StoredEntry | CommandError], None]
    ) -> None: ...
    def submit(self, submission: Submission, done: Callable[[Any], None]) -> None:
        """Queue a draft or a change; call `done` with the result once it is certain.

        Raises `CommandError` with `unavailable` if the queue is full.
        """
        if self.waiting >= QUEUE_SIZE:
            raise unavailable(submission)
        self._add(_repeatable(submission), done)

    def number(self, topics: Iterable[str], room_ids: Iterable[int]) -> None:
        """Queue the numbering of what is pending in topics and rooms; if it fails, a pulse does it.

        The signals `entries_stored` and `messages_stored` tell what was numbered.
        """
        names = frozenset(topics)
        if len(names) > NUMBERINGS:
            one = Numbering(topics=names)
            self._wait_in_lane(one.log_key, [self._open_job(one, lambda result: None)])
            names = frozenset()
        for request in _requests(names, room_ids):
            key = request.log_key
            is_full = max(self.waiting, 2 * len(self._numberings)) >= QUEUE_SIZE
            if key not in self._numberings and not is_full:  # messages need space too
                self._numberings[key] = self._add(request, lambda result: None)

    def _add(self, submission: Submission, done: Callable[[Any], None]) -> Job:
        job = self._open_job(submission, done)
        if self._locked and (key := submission.log_key) in self._locked:
            self._locked[key].append(job)
        else:
            self._jobs.append(job)
            self._wake.set()
        return job

    def _open_job(self, submission: Submission, done: Callable[[Any], None]) -> Job:
        self.waiting += 1
        self._idle.clear()
        now = time.monotonic()
        deadline = now + config().write_timeout_seconds
        job = Job(submission, done, now, deadline, origin=spans.current())
        self.open.append(job)
        self._sweep_soon()
        return job

    @overload
    async def write(self, submission: Draft | Change) -> Stored: ...
    @overload
    async def write(self, submission: EntryDraft) -> StoredEntry: ...
    async def write(self, submission: Any) -> Any:
        """Write a draft or a change, and wait for it; raise the `CommandError` of a failure."""
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.submit(submission, partial(_settle, outcome))
        result = await outcome
        if isinstance(result, CommandError):
            raise result
        return result

    async def _run(self) -> None:
        attempt = 0
        while True:
            await self._wake.wait()
            left = await self._write(self._next_batch())
            if not left:
                attempt = 0
                continue
            self._jobs = left + self._jobs
            self._wake.set()
            await asyncio.sleep(_backoff(attempt))
            attempt += 1

    def _next_batch(self) -> list[Job]:
        batch, self._jobs = self._jobs[:BATCH_SIZE], self._jobs[BATCH_SIZE:]
        if not self._jobs:
            self._wake.clear()
        return batch

    async def _write(self, batch: list[Job]) -> list[Job]:
        """Write a batch; return the jobs to try again."""
        batch = self._drop_late(batch)
        if not batch:
            return []
        try:
            await self._commit(batch, LOCK_MS, self._db.write)
        except Exception as error:
            if is_lock_timeout(error):
                return await self._write_by_log(batch)
            if is_passing(error):
                number = len(batch)
                logger.warning("%d submissions wait for the database: %r", number, error)
                return batch
            return await self._write_each(batch, self._db.write)
        if self._db.is_sqlite:
            await asyncio.sleep(SQLITE_PAUSE_SECONDS)
        return []

    async def _commit(self, batch: list[Job], lock_ms: int, run: Callable[..., object]) -> None:
        were_tried = [job.tried for job in batch]
        is_repeat = any(were_tried)
        for job in batch:
            job.tried = True
            self._forget_numbering(job)  # a later request may come too late for this one
        results = await _run_commit(batch, lock_ms, run)
        _count_acks(batch, results)
        for job, result in zip(batch, results, strict=True):
            self._finish(job, result)
        self._drop_done()
        for result, was_tried in zip(results, were_tried, strict=True):
            # After a commit with an unknown outcome, a stored message may not have been announced.
            if isinstance(result, Committed) and (result.is_new or is_repeat):
                self._announce(result)
                if isinstance(result, Stored) and (result.is_new or was_tried):
                    self._tell_hooks_of(result)

    async def _write_each(self, batch: list[Job], run: Callable[..., object]) -> list[Job]:
        """Write each submission in its own transaction, because foreign keys are checked at commit.

        Returns the jobs to try again: from the first that may succeed later, to keep their order.
        """
        for number, job in enumerate(batch):
            try:
                await self._commit([job], LOCK_MS, run)
            except Exception as error:
                if is_passing(error):
                    return batch[number:]
                self._finish(job, refusal(job.submission, error))
        return []

    async def _write_by_log(self, batch: list[Job]) -> list[Job]:
        logs: dict[str, list[Job]] = {}
        for job in batch:
            logs.setdefault(job.submission.log_key, []).append(job)
        left: list[Job] = []
        for jobs in logs.values():
            try:
                await self._commit(jobs, ALONE_LOCK_MS, self._db.write)
            except Exception as error:
                if is_lock_timeout(error):
                    self._defer(jobs)
                elif is_passing(error):
                    left += jobs
                else:
                    left += await self._write_each(jobs, self._db.write)
        return left

    # A log that another transaction has locked, or in which more is pending than one transaction
    # numbers, is written separately, so that no other log waits.

    def _defer(self, jobs: list[Job]) -> None:
        key = jobs[0].submission.log_key
        mine = [job for job in self._jobs if job.submission.log_key == key]
        self._jobs = [job for job in self._jobs if job.submission.log_key != key]
        if key not in self._locked:
            logger.warning("topic %s: its log is locked, or much is pending: it waits", key)
        self._wait_in_lane(key, jobs + mine)

    def _wait_in_lane(self, key: str, jobs: list[Job]) -> None:
        is_new = key not in self._locked
        self._locked.setdefault(key, []).extend(jobs)
        if is_new:
            task = asyncio.get_running_loop().create_task(self._write_locked_log(key))
            self._locked_tasks.add(task)
            task.add_done_callback(self._locked_tasks.discard)

    async def _write_locked_log(self, key: str) -> None:
        attempt = 0
        while self._locked[key]:
            batch = self._drop_late(self._locked[key][:BATCH_SIZE])
            self._locked[key] = batch + self._locked[key][BATCH_SIZE:]
            left = await self._try_locked_log(batch)
            self._locked[key] = left + self._locked[key][len(batch) :]
            if left:
                await asyncio.sleep(_backoff(attempt))
                attempt += 1
        del self._locked[key]

    async def _try_locked_log(self, batch: list[Job]) -> list[Job]:
        try:
            await self._commit(batch, LOCK_MS, self._db.write_blocking)
        except BacklogError:
            await _number_backlog(self._db, batch[0].submission)
            return batch
        except Exception as error:
            if is_passing(error):
                return batch
            return await self._write_each(batch, self._db.write_blocking)
        return []

    def _drop_late(self, batch: list[Job]) -> list[Job]:
        now = time.monotonic()
        for job in batch:
            if job.deadline < now:
                self._finish(job, unavailable(job.submission))
        return [job for job in batch if not job.is_done]

    def _sweep(self) -> None:
        """Fail the jobs whose deadline has passed, even while a commit hangs.

        If that commit succeeds later, its messages are announced. The nonce keeps a message that is
        sent again from being stored twice.
        """
        now = time.monotonic()
        while self.open and self.open[0].deadline < now:
            job = self.open.popleft()
            self._finish(job, unavailable(job.submission))
        self._drop_done()
        self._is_sweep_due = False
        if self.open:
            self._sweep_soon()

    def _sweep_soon(self) -> None:
        if not self._is_sweep_due:
            self._is_sweep_due = True
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _drop_done(self) -> None:
        while self.open and self.open[0].is_done:
            self.open.popleft()

    def _tell_hooks_of(self, stored: Stored) -> None:
        if self._tell_hooks is not None:
            self._tell_hooks(stored._replace(is_new=True))

    def _forget_numbering(self, job: Job) -> None:
        if self._numberings and self._numberings.get(job.submission.log_key) is job:
            del self._numberings[job.submission.log_key]

    def _announce(self, stored: Committed) -> None:
        try:
            self._committed(stored)
        except Exception:  # it is committed: each process finds it in the database
            logger.exception("what was stored cannot be broadcast")

    def _finish(self, job: Job, result: AnyResult) -> None:
        if job.is_done:
            return
        job.is_done = True
        self._forget_numbering(job)
        self.waiting -= 1
        if not self.waiting:
            self._idle.set()
        try:
            job.done(result)
        except Exception:
            logger.exception("the sender of a submission cannot be answered")


async def _run_commit(
    batch: list[Job], lock_ms: int, run: Callable[..., Any]
) -> Sequence[AnyResult]:
    submissions = [job.submission for job in batch]
    if not spans.is_on:
        return await run(_write, submissions, lock_ms)  # type: ignore[no-any-return]
    with spans.batch("commit", (job.origin for job in batch), number=len(batch)) as span:
        origin = span.origin
        results: Sequence[AnyResult] = await run(_write, submissions, lock_ms)
    if origin is None:
        return results
    return [_with_origin(*pair, origin) for pair in zip(batch, results, strict=True)]


def _with_origin(job: Job, result: AnyResult, origin: Origin) -> AnyResult:
    """Give a result the span of its commit, if the submission comes from a span."""
    if job.origin is None or not isinstance(result, Committed):
        return result
    return result._replace(origin=origin)


def _write(submissions: list[Submission], lock_ms: int) -> list[AnyResult]:
    return write_all(submissions, lock_timeout_ms=lock_ms, bounded=True)


def _count_acks(jobs: list[Job], results: Sequence[AnyResult]) -> None:
    now = time.monotonic()
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Committed) and not job.is_done:
            counts.acks.add(now - job.queued_at)


def _requests(topics: Iterable[str], room_ids: Iterable[int]) -> list[Numbering]:
    of_rooms = [Numbering(room_id=room_id) for room_id in room_ids]
    return [*(Numbering(topic=topic) for topic in topics), *of_rooms]


async def _number_backlog(db: Database, submission: Submission) -> None:
    try:
        await db.write_blocking(number_log, submission)
    except Exception as error:
        logger.warning("topic %s: its backlog stays: %r", submission.log_key, error)


def _settle(outcome: asyncio.Future[Any], result: object) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _repeatable(submission: Submission) -> Submission:
    """Return a submission that is stored once, also after a commit whose outcome is unknown."""
    if not isinstance(submission, EntryDraft):
        return submission
    nonce = MADE_NONCE + uuid4().hex if submission.nonce is None else submission.nonce
    first_try = None if submission.key is None else FirstTry()
    return replace(submission, nonce=nonce, first_try=first_try)


def _backoff(attempt: int) -> float:
    return BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
