"""A driver: the process that wraps the client under test, with JSON lines both ways."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

__all__ = ["Driver", "DriverFailed"]

END_SECONDS = 5.0
LINE_BYTES = 1024 * 1024


class DriverFailed(Exception):  # noqa: N818 - reads as what has happened
    """The driver has ended, or does not speak the protocol of drivers."""


class Driver:
    """The process of a driver, with one client at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ids = 0
        self.abilities: frozenset[str] = frozenset()
        """What it can do: names of groups, and of what single scenarios need."""
        self.events: list[dict[str, Any]] = []
        """What the client has told its application and no step has asked about."""
        self.settled: dict[int, dict[str, Any]] = {}
        self.state: dict[str, Any] = {}
        """The last state of the connection."""
        self.failure = ""
        """Why it cannot be used any more."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES
        )
        self._reading = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        process, reading = self._process, self._reading
        if process is None or reading is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await reading

    def do(self, do: str, **fields: Any) -> int:
        """Tell the client to do something; return the number under which that is settled."""
        self._ids += 1
        line = json.dumps({"id": self._ids, "do": do, **fields})
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n".encode())
        return self._ids

    async def ready(self) -> None:
        """Wait until the driver has told what it can do."""
        await self.until(lambda: self.abilities or None)

    async def fails(self) -> None:
        """Wait until the driver has failed; raise `DriverFailed` then."""
        await self.until(lambda: None)

    async def close(self) -> None:
        """Have the client closed, and forget what it has told."""
        await self.settle(self.do("close"))
        self.forget()

    def forget(self) -> None:
        """Forget what the client has told."""
        self.events.clear()
        self.settled.clear()
        self.state = {}

    async def settle(self, number: int) -> dict[str, Any]:
        """Wait until what has this number is settled; return how."""
        settled: dict[str, Any] = await self.until(lambda: self.settled.get(number))
        return settled

    async def until(self, find: Any) -> Any:
        """Return what `find` returns as soon as that is not None."""
        while (found := find()) is None:
            if self.failure:
                raise DriverFailed(self.failure)
            self._changed.clear()
            await self._changed.wait()
        return found

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            async for line in process.stdout:
                self._take(json.loads(line))
                self._changed.set()
            self.failure = "The driver has ended."
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            self.failure = f"The driver has written something else than its protocol: {error!r}"
        self._changed.set()

    def _take(self, told: dict[str, Any]) -> None:
        if "ready" in told:
            self.abilities = frozenset(told["ready"])
        elif "settled" in told:
            self.settled[int(told["settled"])] = told
        elif told["event"] == "state":
            self.state = told
        else:
            self.events.append(told)
