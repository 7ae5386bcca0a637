"""Processes that publish, and when the last subscribers get what they have published."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Self

from .stream import Run

__all__ = ["Arrivals", "Published", "Publishers"]

LINE_BYTES = 2**28
"""The most that a publisher tells in one line: the times of all it has published."""
SERVERS_OPTIONS = ("bases", "environment", "cookies")
"""What a publisher is not told, as it is long."""


class Published:
    """What has been published: the times of each writer's texts."""

    def __init__(self, told: list[dict[str, Any]]) -> None:
        self.seconds: float = max(one["seconds"] for one in told)
        self.sent: dict[int, list[float]] = {
            int(writer): times for one in told for writer, times in one["sent"].items()
        }

    @property
    def number(self) -> int:
        """How many events were published."""
        return sum(map(len, self.sent.values()))


class Publishers:
    """The processes that publish; they do not serve the subscribers."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    @classmethod
    async def start(cls, options: dict[str, Any]) -> Self:
        """Start them in `options["environment"]`, and wait until they could publish."""
        number = options.get("publishers", 1)
        each = options["writers"] // number
        told = {name: one for name, one in options.items() if name not in SERVERS_OPTIONS}
        told |= {"writers": each, "of_writers": options["writers"]}
        environment = options["environment"]
        publishers = cls([])
        for place in range(number):
            own = {**told, "first_writer": 1 + place * each}
            publishers._processes.append(await _start(own, environment))
        for process in publishers._processes:
            if await _line(process) != "ready":
                raise RuntimeError("a publisher has ended before it was ready")
        return publishers

    async def publish(self) -> Published:
        """Have them publish, until they end."""
        self._write(b"\n")
        told = await asyncio.gather(*map(_line, self._processes))
        for process in self._processes:
            await process.wait()
        return Published([json.loads(line) for line in told])

    def landed(self, number: int) -> None:
        """Tell the only publisher that so many texts have come to their last subscribers."""
        self._write(b"." * number)

    def _write(self, data: bytes) -> None:
        for process in self._processes:
            if process.stdin is not None and process.returncode is None:
                process.stdin.write(data)


async def _start(
    options: dict[str, Any], environment: dict[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.publisher", json.dumps(options)),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise RuntimeError("the publisher has no output")
    return (await process.stdout.readline()).decode().strip()


class Arrivals:
    """When each text has come to the last of so many sockets."""

    def __init__(self, sockets: int) -> None:
        self.on_landed: Callable[[int], None] = lambda number: None
        """Told how many texts have just come to the last socket."""
        self._sockets = sockets
        self._counts: dict[tuple[int, int], int] = {}
        self._at: dict[tuple[int, int], float] = {}

    def clear(self) -> None:
        """Forget what has come so far."""
        self._counts.clear()
        self._at.clear()

    def run_arrived(self, run: Run) -> None:
        """Texts of one writer have come to one socket."""
        writer, first, last = run
        landed, now = 0, time.perf_counter()
        for number in range(first, last + 1):
            count = self._counts.pop((writer, number), 0) + 1
            if count < self._sockets:
                self._counts[writer, number] = count
            else:
                self._at[writer, number] = now
                landed += 1
        if landed:
            self.on_landed(landed)

    def seconds(self, published: Published) -> list[float]:
        """From the publishing of each text to its last arrival."""
        return [
            self._at[writer, number] - at
            for writer, times in published.sent.items()
            for number, at in enumerate(times, 1)
            if (writer, number) in self._at
        ]
