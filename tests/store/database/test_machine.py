"""A process counts as ended only where the kernel that ran it says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.store.database import machine

BIRTH = (
    "import sys; from realtime.store.database import machine; print(machine.birth(), flush=True); "
)


def child(rest: str = "sys.stdin.read()") -> tuple[subprocess.Popen[str], str]:
    """Start a process that says when it was born, and then waits."""
    started = subprocess.Popen(
        [sys.executable, "-c", BIRTH + rest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    return started, started.stdout.readline().strip()


def test_a_running_process_is_not_gone() -> None:
    """Neither this one nor a stopped one."""
    assert machine.birth().count("/") == 2
    assert not machine.is_gone(os.getpid(), machine.birth())
    process, birth = child()
    with process:
        os.kill(process.pid, 19)
        assert not machine.is_gone(process.pid, birth)
        process.kill()


def test_a_process_that_was_killed_is_gone() -> None:
    """Also while its parent has not asked for it."""
    process, birth = child()
    with process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert machine.is_gone(process.pid, birth)
    assert machine.is_gone(process.pid, birth)


def test_another_process_with_the_same_number_does_not_stand_for_it() -> None:
    """Numbers are used again."""
    kernel, _, start = machine.birth().rpartition("/")
    assert machine.is_gone(os.getpid(), f"{kernel}/{int(start) - 1}")


@pytest.mark.parametrize("known", ["", "nonsense", "boot/pid:[1]/7"])
def test_nothing_is_known_of_a_process_elsewhere(known: str) -> None:
    """Another machine, another container, or a release that kept no birth."""
    assert not machine.is_gone(2**22 + 1, known)


def test_a_process_that_is_hidden_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lives, but another user may not see more of it."""
    kernel = machine.birth().rpartition("/")[0]
    monkeypatch.setattr(machine, "_space", lambda: kernel)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert not machine.is_gone(os.getpid(), f"{kernel}/7")
    assert machine.birth() == ""
    assert machine.boot()
