"""What a supervisor does about workers that end, hang or cannot start; and about signals."""

import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.services import Process, missing, wait_until
from harness.site import ROOT

pytestmark = pytest.mark.servers


class Supervised(Process):
    """A supervisor whose small workers do what the files in a folder say."""

    def __init__(
        self,
        folder: Path,
        number: int = 2,
        *,
        start: float = 20,
        grace: float = 20,
        together: float = 0,
    ):
        self.folder = folder
        self.become("ok")
        self.take(0)
        arguments = [str(folder), str(number), str(start), str(grace), str(together)]
        command = [sys.executable, "-m", "tests.serving.supervise", *arguments]
        super().__init__(command, folder / "log", cwd=ROOT)

    def become(self, mode: str) -> None:
        """Let the next workers do this."""
        (self.folder / "mode").write_text(mode)

    def take(self, drain_seconds: float) -> None:
        """Let a drain take so long."""
        (self.folder / "drain").write_text(str(drain_seconds))

    def start(self, mode: str = "ok") -> None:
        self.become(mode)
        self.spawn()

    def until(self, text: str, times: int = 1) -> None:
        """Wait until the log has a text so often."""
        wait_until(lambda: self.log().count(text) >= times, 30, f"{text}: {self.log()}")

    def pids(self, what: str) -> list[int]:
        """The workers of which the log says this, in their order."""
        return [int(pid) for pid in re.findall(rf"worker (\d+) {what}", self.log())]

    def end(self, number: int = signal.SIGTERM) -> int | None:
        self.signal(number)
        return self.wait(30)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody reaps does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Supervised] = []

    def begin(mode: str = "ok", **options: float) -> Supervised:
        made.append(Supervised(tmp_path, **options))  # type: ignore[arg-type]
        made[-1].start(mode)
        return made[-1]

    yield begin
    for one in made:
        one.kill()
        for pid in one.pids("starts"):
            wait_until(lambda pid=pid: not is_alive(pid), 10, f"worker {pid} lives on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_and_then_the_supervisor(start: Start, number: int) -> None:
    supervisor = start()
    supervisor.until("is ready", 2)
    assert supervisor.end(number) == 0
    assert supervisor.log().count("has ended with code 0") == 2


def test_a_second_signal_does_not_wait(start: Start) -> None:
    supervisor = start("deaf")
    supervisor.until("is ready", 2)
    supervisor.signal(signal.SIGTERM)
    supervisor.until("all workers end")
    assert supervisor.end() == 4


def test_two_signals_at_once_are_one(start: Start) -> None:
    """As of a terminal and of a service manager: no worker is killed."""
    supervisor = start(together=20)
    supervisor.until("is ready", 2)
    supervisor.signal(signal.SIGTERM)
    supervisor.signal(signal.SIGINT)
    assert supervisor.end() == 0
    assert supervisor.log().count("has ended with code 0") == 2


def test_a_worker_that_does_not_end_is_killed_after_the_grace(start: Start) -> None:
    supervisor = start("deaf", grace=0.2)
    supervisor.until("is ready", 2)
    assert supervisor.end() == 0
    assert supervisor.log().count("does not end in time, and is killed") == 2


def test_a_worker_that_dies_is_replaced(start: Start) -> None:
    """With a new one, at once, and again."""
    supervisor = start()
    supervisor.until("is ready", 2)
    for turn in range(3):
        os.kill(supervisor.pids("is ready")[-1], signal.SIGKILL)
        supervisor.until("is ready", 3 + turn)
    assert supervisor.log().count("has ended with signal SIGKILL, and is replaced") == 3


def test_workers_that_cannot_start_end_the_supervisor(start: Start) -> None:
    supervisor = start("broken")
    assert supervisor.wait(30) == 3
    assert "no worker can start: each of 5 in a row has failed" in supervisor.log()
    assert supervisor.log().count("has ended with code 9") >= 5


def test_a_system_that_starts_no_process_counts_as_a_failure(start: Start) -> None:
    supervisor = start("refused")
    assert supervisor.wait(30) == 3
    assert "no worker can start: each of 5 in a row has failed" in supervisor.log()
    assert supervisor.pids("starts") == []


def test_a_folder_that_is_replaced_ends_no_worker_that_serves(start: Start) -> None:
    """One of two dies while the folder of the code is away, and SIGHUP comes."""
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.become("refused")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("The other workers stay in service")
    os.kill(supervisor.pids("is ready")[0], signal.SIGKILL)
    supervisor.until("a worker cannot be started", 8)
    supervisor.become("ok")
    supervisor.until("is ready", 3)
    assert supervisor.end() == 0


def test_a_worker_that_hangs_at_its_start_counts_as_one_that_cannot(start: Start) -> None:
    supervisor = start("silent", number=1, start=0.2)
    assert supervisor.wait(30) == 3
    assert supervisor.log().count("does not start in time, and is killed") == 5


def test_a_roll_replaces_one_after_the_other(start: Start) -> None:
    """A new worker is ready before an old one drains."""
    supervisor = start(number=3)
    supervisor.until("is ready", 3)
    supervisor.signal(signal.SIGHUP)
    supervisor.until("all workers are replaced\n")
    happened = re.findall(r"worker \d+ (starts|is ready|drains|has ended)", supervisor.log())[6:]
    assert happened == ["starts", "is ready", "drains", "has ended"] * 3
    assert set(supervisor.pids("drains")) == set(supervisor.pids("starts")[:3])
    assert supervisor.end() == 0


@pytest.mark.parametrize("mode", ["broken", "silent", "unready"])
def test_old_workers_stay_if_new_ones_do_not_become_ready(start: Start, mode: str) -> None:
    """Until the code is mended, and SIGHUP comes again."""
    supervisor = start(start=1)
    supervisor.until("is ready", 2)
    supervisor.become(mode)
    supervisor.signal(signal.SIGHUP)
    supervisor.until("The other workers stay in service")
    assert supervisor.pids("drains") == []
    supervisor.become("ok")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("all workers are replaced\n")
    assert supervisor.pids("drains") == supervisor.pids("starts")[:2]


def test_broken_code_does_not_end_workers_that_serve(start: Start) -> None:
    """One of two dies after such a roll: the other one stays, however often the new one fails."""
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.become("broken")
    os.kill(supervisor.pids("is ready")[0], signal.SIGKILL)
    supervisor.until("has ended with code 9", 8)
    assert supervisor.is_running()
    supervisor.become("ok")
    supervisor.until("is ready", 3)
    assert supervisor.end() == 0


def test_a_signal_during_a_roll_rolls_anew(start: Start) -> None:
    """Also those that the first roll has replaced already: they have the code of that time."""
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.take(0.5)
    supervisor.signal(signal.SIGHUP)
    supervisor.until("drains")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("all workers are replaced\n")
    assert supervisor.log().count("one after the other") == 2
    ended, started = supervisor.pids("has ended"), supervisor.pids("starts")
    assert set(started[:3]) <= set(ended)
    assert len(set(started) - set(ended)) == 2


def test_a_successor_of_an_earlier_signal_is_dropped(start: Start) -> None:
    """It may have read the code from before the second signal."""
    supervisor = start(start=10)
    supervisor.until("is ready", 2)
    supervisor.become("unready")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("starts", 3)
    supervisor.become("ok")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("all workers are replaced\n")
    assert supervisor.pids("starts")[2] not in supervisor.pids("is ready")
    assert "stay in service" not in supervisor.log()


def test_the_end_comes_during_a_roll(start: Start) -> None:
    """For the one that drains, too."""
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.take(2)
    supervisor.signal(signal.SIGHUP)
    supervisor.until("drains")
    assert supervisor.end() == 0
    assert set(supervisor.pids("has ended")) == set(supervisor.pids("starts"))


def test_a_worker_killed_in_its_drain_does_not_stop_the_roll(start: Start) -> None:
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.take(60)
    supervisor.signal(signal.SIGHUP)
    supervisor.until("drains")
    supervisor.take(0)
    os.kill(supervisor.pids("drains")[0], signal.SIGKILL)
    supervisor.until("all workers are replaced\n")
    assert supervisor.end() == 0


def test_an_old_worker_that_dies_is_replaced_by_its_successor(start: Start) -> None:
    """While that one is still starting."""
    supervisor = start()
    supervisor.until("is ready", 2)
    supervisor.become("unready")
    supervisor.signal(signal.SIGHUP)
    supervisor.until("starts", 3)
    supervisor.become("ok")
    os.kill(supervisor.pids("is ready")[0], signal.SIGKILL)
    os.kill(supervisor.pids("is ready")[1], signal.SIGKILL)
    supervisor.until("is ready", 3)
    assert supervisor.end() == 0


def test_process_1_of_a_container_reaps_orphans_and_ends(tmp_path: Path) -> None:
    """Each worker leaves one behind."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        missing("namespaces", "no unshare, or not root")
    supervisor = Supervised(tmp_path)
    supervisor.command = [unshare, "--pid", "--fork", "--kill-child", *supervisor.command]
    supervisor.start("orphan")
    try:
        supervisor.until("is ready", 2)
        [first] = children_of(supervisor.popen.pid)  # type: ignore[union-attr]
        wait_until(lambda: len(children_of(first)) == 2, 20, "orphans are left")
        os.kill(first, signal.SIGTERM)
        assert supervisor.wait(30) == 0
    finally:
        supervisor.kill()


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_workers_end_with_a_supervisor_that_is_killed(start: Start) -> None:
    supervisor = start()
    supervisor.until("is ready", 2)
    assert supervisor.popen is not None
    os.kill(supervisor.popen.pid, signal.SIGKILL)
    supervisor.wait(10)
    for pid in supervisor.pids("is ready"):
        wait_until(lambda pid=pid: not is_alive(pid), 10, f"worker {pid} lives on")
