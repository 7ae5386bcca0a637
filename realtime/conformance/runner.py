"""Run scenarios against a driver."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .driver import Driver, DriverFailed
from .http_server import HttpServer
from .http_stage import HttpStage
from .scenario import Scenario
from .server import ScriptedServer
from .stage import Stage

__all__ = ["Result", "run", "run_all"]

SECONDS = 10.0
"""The longest time of one step."""
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """What has become of a scenario: it passed, it was `skipped`, or it has a `fault`."""

    scenario: Scenario
    fault: str = ""
    skipped: str = ""


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
        async with _stage(scenario, driver) as stage:
            fault = await stage.play(seconds)
            async with asyncio.timeout(seconds):
                await driver.close()
    except (DriverFailed, TimeoutError) as error:
        driver.failure = str(error) or "The driver does not answer in time."
        return Result(scenario, driver.failure)
    return Result(scenario, fault)


@asynccontextmanager
async def _stage(scenario: Scenario, driver: Driver) -> AsyncIterator[Stage]:
    """Yield a stage with the server that the scenario needs."""
    if "over" in scenario.options:
        async with HttpServer() as http:
            yield HttpStage(scenario, http, driver)
    else:
        async with ScriptedServer(bool(scenario.options.get("subprotocol", True))) as server:
            yield Stage(scenario, server, driver)
