"""Commit new messages and changes in batches: while one commit runs, the next batch gathers.

There is no artificial delay: a batch is what arrived meanwhile. A failure stays where it belongs:
a bad entry fails alone, and a room that another transaction has locked waits alone. While the
database is away, an entry is tried again until its deadline. Repeating is idempotent: a draft has
a nonce, and a change that was made before changes nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...logs import get_logger
from ...store.messages.batch import Change, Entry, write_all
from ...store.messages.log import Stored, is_number_taken
from ...wire.errors import CommandError, ErrorCode
from .executor import Database

__all__ = ["Result", "Writer"]

logger = get_logger("realtime.writer")

Result = Stored | CommandError
BATCH_ENTRIES = 500
QUEUE_ENTRIES = 10_000
LOCK_MS = 500
ALONE_LOCK_MS = 50
BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
SWEEP_SECONDS = 0.5
SQLITE_PAUSE_SECONDS = 0.001
"""The pause between commits, in which other processes can write to the file."""


@dataclass(slots=True)
class Job:
    """A draft or a change that has to be written."""

    entry: Entry
    done: Callable[[Result], None]
    deadline: float
    tried: bool = False
    is_done: bool = False


class Writer:
    """Writes drafts and changes in order of arrival; calls `committed` with each new state.

    `tell_hooks` is called once with each state that an entry has stored, if the site has hooks.
    """

    def __init__(
        self,
        db: Database,
        committed: Callable[[Stored], None],
        tell_hooks: Callable[[Stored], None] | None = None,
    ) -> None:
        self._db = db
        self._committed = committed
        self._tell_hooks = tell_hooks
        self._jobs: list[Job] = []
        self._locked: dict[int, list[Job]] = {}
        self._open: deque[Job] = deque()
        self._is_sweep_due = False
        self._count = 0
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

    def submit(self, entry: Entry, done: Callable[[Result], None]) -> None:
        """Queue a draft or a change; call `done` with the result once it is certain.

        Raises `CommandError` with `unavailable` if the queue is full.
        """
        if self._count >= QUEUE_ENTRIES:
            raise _unavailable(entry)
        self._count += 1
        self._idle.clear()
        job = Job(entry, done, time.monotonic() + config().write_timeout_seconds)
        self._open.append(job)
        self._sweep_soon()
        if entry.room_id in self._locked:
            self._locked[entry.room_id].append(job)
        else:
            self._jobs.append(job)
            self._wake.set()

    async def write(self, entry: Entry) -> Stored:
        """Write a draft or a change, and wait for it; raise the `CommandError` of a failure."""
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result) -> None:
            if not outcome.done():
                outcome.set_result(result)

        self.submit(entry, done)
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
        batch, self._jobs = self._jobs[:BATCH_ENTRIES], self._jobs[BATCH_ENTRIES:]
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
            if _is_lock_timeout(error):
                return await self._write_by_room(batch)
            if _is_passing(error):
                number = len(batch)
                logger.warning("%d messages or changes wait for the database: %r", number, error)
                return batch
            return await self._write_each(batch, self._db.write)
        if self._db.is_sqlite:
            await asyncio.sleep(SQLITE_PAUSE_SECONDS)
        return []

    async def _commit(self, batch: list[Job], lock_ms: int, run: Callable[..., object]) -> None:
        entries = [job.entry for job in batch]
        were_tried = [job.tried for job in batch]
        is_repeat = any(were_tried)
        for job in batch:
            job.tried = True
        results: Sequence[Result] = await run(_write, entries, lock_ms)  # type: ignore[misc]
        for job, result in zip(batch, results, strict=True):
            self._finish(job, result)
        self._drop_done()
        for result, was_tried in zip(results, were_tried, strict=True):
            # After a commit with an unknown outcome, a stored message may not have been announced.
            if isinstance(result, Stored) and (result.is_new or is_repeat):
                self._announce(result)
                if self._tell_hooks is not None and (result.is_new or was_tried):
                    self._tell_hooks(result._replace(is_new=True))

    async def _write_each(self, batch: list[Job], run: Callable[..., object]) -> list[Job]:
        """Write each entry in its own transaction, because foreign keys are checked at commit.

        Returns the jobs to try again: from the first that may succeed later, to keep their order.
        """
        for number, job in enumerate(batch):
            try:
                await self._commit([job], LOCK_MS, run)
            except Exception as error:
                if _is_passing(error):
                    return batch[number:]
                self._finish(job, _refusal(job, error))
        return []

    async def _write_by_room(self, batch: list[Job]) -> list[Job]:
        rooms: dict[int, list[Job]] = {}
        for job in batch:
            rooms.setdefault(job.entry.room_id, []).append(job)
        left: list[Job] = []
        for jobs in rooms.values():
            try:
                await self._commit(jobs, ALONE_LOCK_MS, self._db.write)
            except Exception as error:
                if _is_lock_timeout(error):
                    self._defer(jobs)
                elif _is_passing(error):
                    left += jobs
                else:
                    left += await self._write_each(jobs, self._db.write)
        return left

    # A room that another transaction has locked is written separately, so that no other room waits.

    def _defer(self, jobs: list[Job]) -> None:
        room_id = jobs[0].entry.room_id
        mine = [job for job in self._jobs if job.entry.room_id == room_id]
        self._jobs = [job for job in self._jobs if job.entry.room_id != room_id]
        is_new = room_id not in self._locked
        self._locked.setdefault(room_id, []).extend(jobs + mine)
        if is_new:
            logger.warning("room %s is locked by another transaction: its messages wait", room_id)
            task = asyncio.get_running_loop().create_task(self._write_locked_room(room_id))
            self._locked_tasks.add(task)
            task.add_done_callback(self._locked_tasks.discard)

    async def _write_locked_room(self, room_id: int) -> None:
        attempt = 0
        while self._locked[room_id]:
            batch = self._drop_late(self._locked[room_id][:BATCH_ENTRIES])
            self._locked[room_id] = batch + self._locked[room_id][BATCH_ENTRIES:]
            left = await self._try_locked_room(batch)
            self._locked[room_id] = left + self._locked[room_id][len(batch) :]
            if left:
                await asyncio.sleep(_backoff(attempt))
                attempt += 1
        del self._locked[room_id]

    async def _try_locked_room(self, batch: list[Job]) -> list[Job]:
        try:
            await self._commit(batch, LOCK_MS, self._db.write_blocking)
        except Exception as error:
            if _is_passing(error):
                return batch
            return await self._write_each(batch, self._db.write_blocking)
        return []

    # Results.

    def _drop_late(self, batch: list[Job]) -> list[Job]:
        now = time.monotonic()
        for job in batch:
            if job.deadline < now:
                self._finish(job, _unavailable(job.entry))
        return [job for job in batch if not job.is_done]

    def _sweep(self) -> None:
        """Fail the jobs whose deadline has passed, even while a commit hangs.

        If that commit succeeds later, its messages are announced. The nonce keeps a message that is
        sent again from being stored twice.
        """
        now = time.monotonic()
        while self._open and self._open[0].deadline < now:
            job = self._open.popleft()
            self._finish(job, _unavailable(job.entry))
        self._drop_done()
        self._is_sweep_due = False
        if self._open:
            self._sweep_soon()

    def _sweep_soon(self) -> None:
        if not self._is_sweep_due:
            self._is_sweep_due = True
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _drop_done(self) -> None:
        while self._open and self._open[0].is_done:
            self._open.popleft()

    def _announce(self, stored: Stored) -> None:
        try:
            self._committed(stored)
        except Exception:  # it is committed: each process finds it in the database
            logger.exception("a stored message cannot be announced to its room")

    def _finish(self, job: Job, result: Result) -> None:
        if job.is_done:
            return
        job.is_done = True
        self._count -= 1
        if not self._count:
            self._idle.set()
        try:
            job.done(result)
        except Exception:
            logger.exception("the sender of a message cannot be answered")


def _write(entries: list[Entry], lock_ms: int) -> list[Result]:
    return write_all(entries, lock_timeout_ms=lock_ms)


def _backoff(attempt: int) -> float:
    return BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]


def _is_passing(error: Exception) -> bool:
    """Return whether the same entry may succeed later: lost connections, deadlocks, locks."""
    if isinstance(error, (DataError, IntegrityError)):
        return False
    return isinstance(error, (DatabaseError, InterfaceError))


def _refusal(job: Job, error: Exception) -> CommandError:
    kind = _kind_of(job.entry)
    if isinstance(error, IntegrityError) and not is_number_taken(error):
        logger.info("a %s of room %s is refused: %r", kind, job.entry.room_id, error)
        message = _("The room or its sender no longer exists.")
        return CommandError(ErrorCode.UNKNOWN_ROOM, message)
    logger.error("a %s of room %s cannot be stored", kind, job.entry.room_id, exc_info=error)
    is_change = isinstance(job.entry, Change)
    message = _("The change cannot be stored.") if is_change else _("The message cannot be stored.")
    return CommandError(ErrorCode.INTERNAL, message)


def _is_lock_timeout(error: BaseException) -> bool:
    # 55P03 lock_not_available, 57014 query_canceled (the statement's own timeout).
    return getattr(error.__cause__, "sqlstate", None) in {"55P03", "57014"}


def _unavailable(entry: Entry) -> CommandError:
    message = _("The message cannot be stored now. Send it again.")
    if isinstance(entry, Change):
        message = _("The change cannot be stored now. Send the command again.")
    return CommandError(ErrorCode.UNAVAILABLE, message, retry_after=1)


def _kind_of(entry: Entry) -> str:
    return "change" if isinstance(entry, Change) else "message"
