"""What one running kernel knows of its processes: which of them have certainly ended."""

import os
import platform
from pathlib import Path

__all__ = ["birth", "boot", "is_gone"]

PROC = Path("/proc")
DEAD_STATES = ("Z", "X", "x")
"""Of a process that has ended, and whose parent has not asked for it yet."""


def boot() -> str:
    """Return what names this kernel until it starts anew; the name of the host elsewhere."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def birth() -> str:
    """Return what tells this process from a later one with its number; empty if nothing does."""
    try:
        return f"{_space()}/{_state_and_start(os.getpid())[1]}"
    except (OSError, IndexError):
        return ""


def is_gone(pid: int, known: str) -> bool:
    """Return whether the process with this number and birth has ended for certain.

    False for a process of another machine or container, where only its lease can tell.
    """
    try:
        if not known or known.rpartition("/")[0] != _space():
            return False
        os.kill(pid, 0)
        state, start = _state_and_start(pid)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, IndexError):  # somebody else's, or hidden from this user
        return False
    return state in DEAD_STATES or start != known.rpartition("/")[2]


def _space() -> str:
    """Return in what space process numbers are unique: containers have spaces of their own."""
    return f"{boot()}/{(PROC / 'self/ns/pid').readlink()}"


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return the third and the 22nd field of a process's line (proc_pid_stat(5))."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
