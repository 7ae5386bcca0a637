"""One scenario that is played: its steps, on the lines of the client to a scripted server."""

import asyncio
import json
from typing import Any

from .driver import Driver
from .line import Line, Listener
from .scenario import Scenario, Step

__all__ = ["Mismatch", "Stage", "fits"]

BARRIER = "barrier"
ANY = "$any"
"""Stands for any value in a scenario."""
OWN_OPTIONS = ("subprotocol", "over")
"""The options of a scenario that are for its server."""


class Mismatch(Exception):  # noqa: N818 - reads as what has happened
    """The client has done something else than the scenario expects."""


class Stage:
    """A scenario that is played."""

    def __init__(self, scenario: Scenario, server: Listener, driver: Driver) -> None:
        self._scenario = scenario
        self._server = server
        self._driver = driver
        self._line: Line | None = None
        self._names: dict[str, Any] = {}

    async def play(self, seconds: float) -> str:
        """Play all steps; return the fault of the first one that fails, or an empty text."""
        self._connect({})
        for number, step in enumerate(self._scenario.steps, 1):
            try:
                async with asyncio.timeout(seconds):
                    await self._do_unless_it_fails(step)
            except (TimeoutError, ConnectionError, Mismatch) as error:
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
        for name in OWN_OPTIONS:
            options.pop(name, None)
        self._driver.do("connect", **self._addresses(), **options)

    def _addresses(self) -> Step:
        return {"url": self._server.url}

    @property
    def _open_line(self) -> Line:
        if self._line is None:
            raise Mismatch("The scenario has no line yet.")
        return self._line

    async def _next_line(self, welcome: Any, rest: Step) -> None:
        """Wait for the next connection; a client that waits for its next attempt tries at once."""
        opening = asyncio.create_task(self._opening())
        hurrying = asyncio.create_task(self._hurry(rest.get("hurry", True)))
        try:
            self._line = await opening
        finally:
            opening.cancel()
            hurrying.cancel()
            await asyncio.wait([opening, hurrying])
        self._check_line(self._line, rest)
        if welcome is not None:
            await self._line.welcome(welcome)

    async def _opening(self) -> Line:
        return await self._server.line()

    def _check_line(self, line: Line, wanted: Step) -> None:
        if "token" in wanted and line.token != wanted["token"]:
            raise Mismatch(f"The token was {line.token!r}.")

    async def _hurry(self, is_wanted: bool) -> None:
        while is_wanted:
            await self._driver.until(lambda: self._is_waiting or None)
            self._driver.do("reconnect")
            await self._driver.until(lambda: None if self._is_waiting else True)

    @property
    def _is_waiting(self) -> bool:
        return self._driver.state.get("state") == "waiting"

    async def _expect(self, wanted: Step) -> Step:
        """Return the next command with these fields; others that come before stay."""
        line = self._open_line
        for number, frame in enumerate(line.unread):
            if fits(frame, wanted):
                return line.unread.pop(number)
        while not fits(frame := await line.next(), wanted):
            line.unread.append(frame)
        return frame

    async def _refute(self, unwanted: Step) -> None:
        """Fail if such a command has come: what was sent before the answer to a ping has."""
        await self._open_line.send([{"type": "ping", "t": BARRIER}])
        await self._expect({"type": "pong", "t": BARRIER})
        if any(fits(frame, unwanted) for frame in self._open_line.unread):
            raise Mismatch("The client has sent this.")

    async def _hear(self, wanted: list[str]) -> None:
        """Wait until the client has told exactly this since the last such step."""
        events = self._driver.events

        def heard() -> bool | None:
            found = [gist(one) for one in events[: len(wanted)]]
            if found != wanted[: len(found)]:
                raise Mismatch(f"The client has told {found}.")
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
        self._check_quiet()

    def _check_quiet(self) -> None:
        if self._driver.events:
            raise Mismatch(f"The client has told more: {list(map(gist, self._driver.events))}.")

    async def _reach(self, wanted: Step) -> None:
        await self._driver.until(lambda: fits(self._driver.state, wanted) or None)

    async def _settle(self, name: int, wanted: Step) -> None:
        found = await self._driver.settle(name)
        if not fits({"error": None, **found}, {"error": None, **wanted}):
            raise Mismatch(f"It was settled as {found}.")

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
        told = [gist(one) for one in self._driver.events]
        unread = [] if self._line is None else self._line.unread
        what = str(error) or "this has not come in time."
        return f"{what} Commands: {json.dumps(unread)}. Told: {told}. {self._driver.state}"


def fits(found: Any, wanted: Any) -> bool:
    """Return whether all fields that are wanted are there; null stands for a missing field."""
    if wanted == ANY:
        return found is not None
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return bool(found == wanted)
    return all(fits(found.get(key), one) for key, one in wanted.items())


def gist(event: dict[str, Any]) -> str:
    """Return an event as a scenario writes it, such as `message 3` or `event paid 3`."""
    parts = (event.get(key) for key in ("event", "name", "key", "seq"))
    return " ".join(str(one) for one in parts if one is not None)
