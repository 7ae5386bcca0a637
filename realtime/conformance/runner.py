"""Run scenarios against a driver."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .driver import Driver, DriverFailed
from .scenario import Scenario, Step
from .server import Line, ScriptedServer

__all__ = ["Result", "run", "run_all"]

SECONDS = 10.0
"""The longest time of one step."""
START_SECONDS = 10.0
BARRIER = "barrier"
ANY = "$any"
"""Stands for any value in a scenario."""


@dataclass(frozen=True, slots=True)
class Result:
    """What has become of a scenario: it passed, it was `skipped`, or it has a `fault`."""

    scenario: Scenario
    fault: str = ""
    skipped: str = ""


class _MismatchError(Exception):
    pass


async def run_all(
    scenarios: Iterable[Scenario], command: Sequence[str], seconds: float = SECONDS
) -> AsyncIterator[Result]:
    """Run scenarios one after the other; a driver that fails is started again."""
    remaining = deque(scenarios)
    while remaining:
        async with Driver(command) as driver:
            while remaining:
                result = await run(remaining.popleft(), driver, seconds)
                yield result
                if driver.failure:
                    break


async def run(scenario: Scenario, driver: Driver, seconds: float = SECONDS) -> Result:
    """Run one scenario."""
    try:
        async with asyncio.timeout(max(seconds, START_SECONDS)):
            await driver.ready()
        if missing := scenario.needs - driver.abilities:
            return Result(scenario, skipped=", ".join(sorted(missing)))
        async with ScriptedServer(bool(scenario.options.get("subprotocol", True))) as server:
            fault = await _Stage(scenario, server, driver).play(seconds)
            async with asyncio.timeout(seconds):
                await driver.close()
    except (DriverFailed, TimeoutError) as error:
        driver.failure = str(error) or "The driver does not answer in time."
        return Result(scenario, driver.failure)
    return Result(scenario, fault)


class _Stage:
    """A scenario that is played."""

    def __init__(self, scenario: Scenario, server: ScriptedServer, driver: Driver) -> None:
        self._scenario = scenario
        self._server = server
        self._driver = driver
        self._line: Line | None = None
        self._unread: list[dict[str, Any]] = []
        self._names: dict[str, Any] = {}

    async def play(self, seconds: float) -> str:
        """Play all steps; return the fault of the first one that fails, or an empty text."""
        self._connect({})
        for number, step in enumerate(self._scenario.steps, 1):
            try:
                async with asyncio.timeout(seconds):
                    await self._do_unless_it_fails(step)
            except (TimeoutError, ConnectionError, _MismatchError) as error:
                return f"Step {number}, {json.dumps(step)}: {self._told_instead(error)}"
        return ""

    async def _do_unless_it_fails(self, step: Step) -> None:
        """Do a step, and stop when the driver fails."""
        tasks = [asyncio.create_task(one) for one in (self._do(step), self._driver.fails())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _do(self, written: Step) -> None:
        step = self._filled(written)
        if not await self._act(step):
            await self._check(step)

    async def _act(self, step: Step) -> bool:
        """Do what the step says; return whether it says what to do."""
        match step:
            case {"client": fields, **rest}:
                self._names[rest.get("as", "")] = self._driver.do(**fields)
            case {"line": welcome, **rest}:
                await self._next_line(welcome, rest)
            case {"server": frames}:
                await self._open_line.send(frames if isinstance(frames, list) else [frames])
            case {"raw": text}:
                await self._open_line.raw(text)
            case {"cut": how}:
                await self._open_line.cut(how)
            case {"clock": seconds}:
                await self._driver.settle(self._driver.do("clock", by=seconds))
            case {"restart": options}:
                await self._driver.settle(self._driver.do("restart"))
                self._driver.forget()
                self._connect(options)
            case _:
                return False
        return True

    async def _check(self, step: Step) -> None:
        """Wait for what the step expects."""
        match step:
            case {"expect": wanted, **rest}:
                self._names[rest.get("as", "")] = await self._expect(wanted)
            case {"refute": unwanted}:
                await self._refute(unwanted)
            case {"told": wanted}:
                await self._hear(wanted)
            case {"state": state}:
                await self._reach(state)
            case {"settled": name, **fields}:
                await self._settle(name, fields)

    def _connect(self, changed: Step) -> None:
        """Have the client connect with the options of the scenario, some of them changed."""
        options = {**self._scenario.options, **changed}
        options.pop("subprotocol", None)
        self._driver.do("connect", url=self._server.url, **options)

    @property
    def _open_line(self) -> Line:
        if self._line is None:
            raise _MismatchError("The scenario has no line yet.")
        return self._line

    async def _next_line(self, welcome: Any, rest: Step) -> None:
        """Wait for the next connection; a client that waits for its next attempt tries at once."""
        opening = asyncio.create_task(self._server.line())
        hurrying = asyncio.create_task(self._hurry(rest.get("hurry", True)))
        try:
            self._line, self._unread = await opening, []
        finally:
            opening.cancel()
            hurrying.cancel()
            await asyncio.wait([opening, hurrying])
        if "token" in rest and self._line.token != rest["token"]:
            raise _MismatchError(f"The token was {self._line.token!r}.")
        if welcome is not None:
            await self._line.welcome(welcome)

    async def _hurry(self, is_wanted: bool) -> None:
        if is_wanted:
            await self._driver.until(lambda: self._driver.state.get("state") == "waiting" or None)
            self._driver.do("reconnect")

    async def _expect(self, wanted: Step) -> Step:
        """Return the next command with these fields; others that come before stay."""
        for number, frame in enumerate(self._unread):
            if _fits(frame, wanted):
                return self._unread.pop(number)
        while True:
            frame = await self._open_line.next()
            if _fits(frame, wanted):
                return frame
            self._unread.append(frame)

    async def _refute(self, unwanted: Step) -> None:
        """Fail if such a command has come: what was sent before the answer to a ping has."""
        await self._open_line.send([{"type": "ping", "t": BARRIER}])
        await self._expect({"type": "pong", "t": BARRIER})
        if any(_fits(frame, unwanted) for frame in self._unread):
            raise _MismatchError("The client has sent this.")

    async def _hear(self, wanted: list[str]) -> None:
        """Wait until the client has told exactly this since the last such step."""
        events = self._driver.events

        def heard() -> bool | None:
            found = [_gist(one) for one in events[: len(wanted)]]
            if found != wanted[: len(found)]:
                raise _MismatchError(f"The client has told {found}.")
            return True if len(found) == len(wanted) else None

        await self._driver.until(heard)
        del events[: len(wanted)]
        await self._be_quiet()

    async def _be_quiet(self) -> None:
        """Fail if the client tells more, when it has handled all that was sent."""
        if self._line is None or self._line.is_over:
            return
        try:
            await self._refute({"type": ""})
        except ConnectionError:
            return
        await self._driver.settle(self._driver.do("sync"))
        if self._driver.events:
            raise _MismatchError(
                f"The client has told more: {list(map(_gist, self._driver.events))}."
            )

    async def _reach(self, wanted: Step) -> None:
        await self._driver.until(lambda: _fits(self._driver.state, wanted) or None)

    async def _settle(self, name: int, wanted: Step) -> None:
        found = await self._driver.settle(name)
        if not _fits({"error": None, **found}, {"error": None, **wanted}):
            raise _MismatchError(f"It was settled as {found}.")

    def _filled(self, value: Any) -> Any:
        """Replace `$name` and `$name.field` by what has the name."""
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, str) and value.startswith("$") and value != ANY:
            name, _, key = value[1:].partition(".")
            return self._names[name][key] if key else self._names[name]
        return value

    def _told_instead(self, error: BaseException) -> str:
        told = [_gist(one) for one in self._driver.events]
        what = str(error) or "this has not come in time."
        return f"{what} Commands: {json.dumps(self._unread)}. Told: {told}. {self._driver.state}"


def _fits(found: Any, wanted: Any) -> bool:
    """Return whether all fields that are wanted are there; null stands for a missing field."""
    if wanted == ANY:
        return found is not None
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return bool(found == wanted)
    return all(_fits(found.get(key), one) for key, one in wanted.items())


def _gist(event: dict[str, Any]) -> str:
    """Return an event as a scenario writes it, such as `message 3` or `event paid 3`."""
    parts = (event.get(key) for key in ("event", "name", "key", "seq"))
    return " ".join(str(one) for one in parts if one is not None)
