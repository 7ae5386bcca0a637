"""Keep workers in service: start them, replace what dies, roll to new code, and end with them."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..shared_numbers import SharedNumbers
from .rolling import Rolling
from .signals import Signals
from .slot import TRIES, Slot
from .worker import Program, State, Worker

__all__ = ["Code", "Supervisor", "Times"]

logger = logging.getLogger("realtime.serve")

HUNG_SECONDS = 60.0
"""A worker whose event loop has not turned for so long is killed."""

STAYS = (
    "The other workers stay in service: correct the code or the settings, and send SIGHUP again."
)


class Code:
    """Exit codes of the supervisor; 1 and 2 are those of any command."""

    STOPPED = 0
    CANNOT_START = 3
    CUT_SHORT = 4


@dataclass(frozen=True)
class Times:
    """The times of a supervisor, in seconds."""

    start: float = 60.0
    """A new worker serves within this time, or is given up."""
    drain: float = 20.0
    """A replaced worker closes its connections over this time."""
    grace: float = 25.0
    """A worker that was told to end is killed after this time."""
    together: float = 0.5
    """Signals within this time are one: a service manager and a terminal may both send theirs."""


class Supervisor:
    """Runs `number` workers of a program until a signal ends it.

    `tell` is called with "ready" and "stopping", for the service manager.
    """

    def __init__(
        self,
        program: Program,
        number: int,
        times: Times,
        tell: Callable[[str], None] = lambda state: None,
    ) -> None:
        self._program = program
        self._times = times
        self._tell = tell
        self._slots = [Slot(one) for one in range(number)]
        self._rolling = Rolling()
        self._workers: dict[int, Worker] = {}
        """All worker processes that have not ended, by their numbers."""
        self._is_ready = False
        self._stopping_since: float | None = None
        self._code: int | None = None

    def run(self) -> int:
        """Serve until a signal; return the exit code."""
        with Signals(signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD) as signals:
            while self._code is None:
                self._act(time.monotonic())
                if self._code is None:
                    arrived = signals.wait(self._channels(), self._next_time())
                    self._notice(arrived, time.monotonic())
        return self._code

    def _channels(self) -> list[socket.socket]:
        return [worker.channel for worker in self._workers.values()]

    def _act(self, now: float) -> None:
        self._kill_overdue(now)
        if self._is_stopping:
            if not self._workers:
                self._code = Code.STOPPED
            return
        self._fill_slots(now)
        if self._code is None:
            self._roll(now)

    def _notice(self, signals: list[int], now: float) -> None:
        for worker in list(self._workers.values()):
            for state in worker.read(now):
                self._reached(worker, state, now)
        for number in signals:
            match number:
                case signal.SIGHUP if not self._is_stopping:
                    self._begin_roll(now)
                case signal.SIGTERM | signal.SIGINT:
                    self._stop(now)
        self._reap(now)

    # Times.

    def _deadlines(self) -> Iterator[tuple[float, Worker]]:
        for worker in self._workers.values():
            if worker.state is State.STARTING:
                yield worker.started_at + self._times.start, worker
            elif worker.until is not None:
                yield worker.until, worker
            elif worker.is_serving:
                yield worker.heard_at + HUNG_SECONDS, worker
        successor = self._rolling.successor
        if successor is not None and successor.state is State.RUNNING:
            yield successor.started_at + self._times.start, successor

    def _next_time(self) -> float | None:
        times = [time for time, _ in self._deadlines()]
        if not self._is_stopping:
            times += [slot.start_at for slot in self._slots if slot.worker is None]
        return min(times, default=None)

    def _kill_overdue(self, now: float) -> None:
        for when, worker in list(self._deadlines()):
            if when <= now:
                logger.error("%s does not %s in time, and is killed", worker, _task_of(worker))
                worker.kill()

    # Starting.

    def _fill_slots(self, now: float) -> None:
        for slot in self._slots:
            if slot.worker is not None or slot.start_at > now or self._code is not None:
                continue
            slot.worker = self._start_worker(slot, now)
            if slot.worker is None:
                slot.vacate(now, served_since=None)
                self._end_if_hopeless(slot)

    def _start_worker(self, slot: Slot, now: float) -> Worker | None:
        """Start a worker; return None if the system refuses, as for a folder that is replaced."""
        try:
            worker = self._program.start(self._rolling.generation, now, slot.number)
        except OSError as error:
            logger.error("a worker cannot be started: %s", error)
            return None
        self._workers[worker.pid] = worker
        logger.info("%s starts", worker)
        return worker

    def _reached(self, worker: Worker, state: State, now: float) -> None:
        if state is not State.READY:
            return
        logger.info("%s is ready", worker)
        if worker is self._rolling.successor:
            self._retire(self._rolling.take_over(), now)
        if not self._is_ready and all(slot.is_serving for slot in self._slots):
            self._is_ready = True
            self._tell("ready")

    # Rolling.

    def _begin_roll(self, now: float) -> None:
        logger.info("all workers are replaced, one after the other")
        dropped = self._rolling.begin()
        if dropped is not None:
            dropped.stop(now + self._times.grace)
        for slot in self._slots:  # the new code may be what they need
            slot.start_at = min(slot.start_at, now)

    def _roll(self, now: float) -> None:
        was_on = self._rolling.is_on
        slot = self._rolling.next_slot(self._slots)
        if slot is not None:
            successor = self._start_worker(slot, now)
            if successor is None:
                logger.error(STAYS)
                self._rolling.give_up()
            else:
                self._rolling.replace(slot, successor)
        elif was_on and not self._rolling.is_on:
            logger.info("all workers are replaced")

    def _retire(self, old: Worker | None, now: float) -> None:
        if old is not None:
            logger.info("%s drains", old)
            old.drain(self._times.drain, now + self._times.drain + self._times.grace)

    # Ends.

    def _reap(self, now: float) -> None:
        """Note which processes have ended; process 1 of a container also gets orphans."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                worker = self._workers.pop(found[0], None)
                if worker is not None:
                    for state in worker.read(now):
                        self._reached(worker, state, now)
                    worker.reaped(found[1])
                    self._keep_numbers(worker)
                    self._ended(worker, now)

    def _keep_numbers(self, worker: Worker) -> None:
        if self._program.numbers is not None:
            try:
                SharedNumbers(self._program.numbers).end(worker.place, worker.pid)
            except OSError as error:
                logger.warning("the numbers of %s are lost: %s", worker, error)

    def _ended(self, worker: Worker, now: float) -> None:
        if self._is_stopping or worker is self._rolling.retiring:
            logger.info("%s has ended with %s", worker, worker.ending)
            if worker is self._rolling.retiring:
                self._rolling.retiring = None
        elif worker is self._rolling.successor:
            logger.error("%s has ended with %s before it was ready", worker, worker.ending)
            logger.error(STAYS)
            self._rolling.give_up()
        else:
            self._vacate(worker, now)

    def _vacate(self, worker: Worker, now: float) -> None:
        slot = next((one for one in self._slots if one.worker is worker), None)
        if slot is None:  # a successor that was dropped for a newer one
            return
        logger.error("%s has ended with %s, and is replaced", worker, worker.ending)
        slot.vacate(now, served_since=worker.serving_since)
        if slot is self._rolling.slot:
            self._rolling.take_over()
        self._end_if_hopeless(slot)

    def _end_if_hopeless(self, slot: Slot) -> None:
        if slot.is_hopeless and not any(one.is_serving for one in self._slots):
            logger.error("no worker can start: each of %d in a row has failed. See above.", TRIES)
            self._end(Code.CANNOT_START)

    @property
    def _is_stopping(self) -> bool:
        return self._stopping_since is not None

    def _stop(self, now: float) -> None:
        if self._stopping_since is not None:
            if now - self._stopping_since < self._times.together:
                return
            logger.warning("a second signal: the workers are killed")
            self._end(Code.CUT_SHORT)
            return
        logger.info("all workers end")
        self._stopping_since = now
        self._tell("stopping")
        self._program.listener.close()  # new clients are refused, and go to another host
        for worker in self._workers.values():
            worker.stop(now + self._times.grace)

    def _end(self, code: int) -> None:
        """End at once, with all workers."""
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            with suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
        self._workers.clear()
        self._code = code


def _task_of(worker: Worker) -> str:
    return {State.STARTING: "start", State.ENDING: "end"}.get(worker.state, "answer")
