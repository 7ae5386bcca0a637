"""Find processes of this kernel that have certainly ended."""

import os
import platform
from pathlib import Path

__all__ = ["birth", "boot", "is_gone"]

PROC = Path("/proc")
DEAD_STATES = ("Z", "X", "x")
"""States of a process that has ended and whose parent has not waited for it yet."""


def boot() -> str:
    """Return the boot id of this kernel; without one, the host name."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def birth() -> str:
    """Return an id that no later process with the same number has, or an empty string."""
    try:
        return f"{_space()}/{_state_and_start(os.getpid())[1]}"
    except (OSError, IndexError):
        return ""


def is_gone(pid: int, known: str) -> bool:
    """Return whether the process with this number and birth has certainly ended.

    False for a process of another machine or container: only its lease shows whether it runs.
    """
    try:
        if not known or known.rpartition("/")[0] != _space():
            return False
        os.kill(pid, 0)
        state, start = _state_and_start(pid)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, IndexError):  # a process of another user, or one that is hidden
        return False
    return state in DEAD_STATES or start != known.rpartition("/")[2]


def _space() -> str:
    """Return the namespace in which process numbers are unique: containers have their own."""
    return f"{boot()}/{(PROC / 'self/ns/pid').readlink()}"


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return the third and the 22nd field of a process's line (proc_pid_stat(5))."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
