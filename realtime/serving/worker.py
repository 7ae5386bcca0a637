"""One worker as its supervisor sees it: a process, the channel to it, and how far it is."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from ..shared_numbers import FOLDER, PLACE
from .supervised import DRAIN, READY, RUNNING, STOP

__all__ = ["Program", "State", "Worker"]

FOR_SUPERVISOR = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""Variables of systemd that are not for workers."""
READ_BYTES = 4096


class State(IntEnum):
    """The progress of a worker."""

    STARTING = 0
    """It imports the site."""
    RUNNING = 1
    """It accepts connections."""
    READY = 2
    """It can also store messages."""
    ENDING = 3
    """It was told to end."""


@dataclass(frozen=True)
class Program:
    """The server, its options and the application that each worker runs."""

    server: str
    application: str
    options: Sequence[str]
    listener: socket.socket
    folder: Path = field(default_factory=lambda: Path(sys.path[0]).absolute())
    """The folder of `manage.py`; a link in its path is followed anew for each worker."""
    numbers: Path | None = None
    """The folder in which the workers share their numbers."""
    is_current: bool = field(init=False)
    """Whether it is the working folder too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_current", self.folder.samefile(Path.cwd()))

    def start(self, generation: int, now: float, place: int) -> "Worker":
        """Start a worker for a place; it loads the code and the settings that there are now.

        Raises `OSError` if the system refuses: its folder or Python is missing, or a limit is met.
        """
        ours, theirs = socket.socketpair()
        listening = self.listener.fileno()
        command = [sys.executable, *_switches(), "-m", __package__, self.server]
        command += [str(listening), str(theirs.fileno()), self.application, *self.options]
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(listening, theirs.fileno()),
                    process_group=0,  # so that Ctrl+C reaches the supervisor alone
                    cwd=self.folder if self.is_current else None,
                    env=self._environment(place),
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return Worker(process, ours, generation, now, place)

    def _environment(self, place: int) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k not in FOR_SUPERVISOR}
        paths = [str(self.folder), *filter(None, [environment.get("PYTHONPATH")])]
        if self.numbers is not None:
            environment |= {FOLDER: str(self.numbers), PLACE: str(place)}
        return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def _switches() -> list[str]:
    return [f"-W{one}" for one in sys.warnoptions]


class Worker:
    """A worker process; `until` is the time at which it is killed if it has not moved on."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        channel: socket.socket,
        generation: int,
        now: float,
        place: int = 0,
    ) -> None:
        self.process = process
        self.channel = channel
        self.generation = generation
        self.place = place
        """The number of its slot, which a successor takes over."""
        self.state = State.STARTING
        self.started_at = self.heard_at = now
        self.serving_since: float | None = None
        self.until: float | None = None
        self._unread = b""

    def __str__(self) -> str:
        return f"worker {self.pid}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    @property
    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return State.RUNNING <= self.state < State.ENDING

    def read(self, now: float) -> Iterator[State]:
        """Read its reports; yield each state that it has reached."""
        with suppress(OSError):
            while data := self.channel.recv(READ_BYTES):
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self.heard_at = now
            state = {RUNNING: State.RUNNING, READY: State.READY}.get(line)
            if state is not None and state > self.state:
                self.state = state
                if state is State.RUNNING:
                    self.serving_since = now
                yield state

    def drain(self, seconds: float, until: float) -> None:
        """Tell it to close its connections at an even pace, and to end."""
        self._tell(b"%b %f" % (DRAIN, seconds), until)

    def stop(self, until: float) -> None:
        """Tell it to end now; its clients are told when to come back."""
        self._tell(STOP, until)

    def _tell(self, order: bytes, until: float) -> None:
        self.state, self.until = State.ENDING, until
        with suppress(OSError):  # it has just ended
            self.channel.send(order + b"\n")

    def kill(self) -> None:
        """End it at once."""
        self.state, self.until = State.ENDING, None
        if self.process.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def reaped(self, status: int) -> None:
        """Note that the process has ended, with this status of `waitpid`."""
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.channel.close()

    @property
    def ending(self) -> str:
        """The end of its process, in words."""
        code = self.process.returncode
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
