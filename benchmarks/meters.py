"""What a server's processes have used so far, by the operating system's own accounts (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis

__all__ = ["Reading", "redis_work"]

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Reading:
    """Seconds of CPU, and bytes of memory now and at the most, of processes with their children."""

    cpu_seconds: float
    resident: int
    peak: int

    @classmethod
    def of(cls, pids: list[int]) -> Self:
        """Read the meters of some processes and all below them."""
        family = _family(pids)
        return cls(
            sum(_cpu_seconds(pid) for pid in family),
            sum(_status(pid, "VmRSS") for pid in family),
            sum(_status(pid, "VmHWM") for pid in family),
        )


def redis_work(url: str) -> dict[str, float]:
    """How often a Redis was told to publish, and the seconds of CPU it used for everything."""
    with redis.Redis.from_url(url) as client:
        info: dict[str, Any] = client.info("all")
    return {
        "publishes": info.get("cmdstat_publish", {}).get("calls", 0),
        "seconds": info["used_cpu_user"] + info["used_cpu_sys"],
    }


def _family(pids: list[int]) -> set[int]:
    family = set(pids)
    parents = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may hold anything."""
    try:
        return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it has just ended
        return []


def _status(pid: int, name: str) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)
