"""A clock that a test moves: what would take minutes happens at once, in the right order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from django.db.models.functions import Now
from django.utils import timezone

from ..engine.engine import Engine
from .running import Quiet

__all__ = ["Clock", "clock"]

STEP_SECONDS = 0.25
"""Time passes in steps, so that timers fire in their order, and nothing looks like a stall."""
MOST_SECONDS = 3600.0


class Clock:
    """The time that has been added to the real one, in seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    async def advance(self, seconds: float) -> None:
        """Let time pass, at most one hour, as for a process that runs all the while."""
        if not 0 <= seconds <= MOST_SECONDS:
            raise ValueError(
                f"advance takes 0 to {MOST_SECONDS:g} seconds, not {seconds:g}:"
                " use jump for a longer time"
            )
        until = self.offset + seconds
        while self.offset < until:
            self.offset = min(until, self.offset + STEP_SECONDS)
            await self._settle()

    async def jump(self, seconds: float) -> None:
        """Let time pass at once, as for a process that was suspended."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        self.offset += seconds
        await self._settle()

    async def _settle(self) -> None:
        engine = Engine.here()
        if engine is None:
            await asyncio.sleep(0)
        else:
            await Quiet.of(engine).wait()


@asynccontextmanager
async def clock() -> AsyncIterator[Clock]:
    """Move the clock of this process by hand, inside a block around all of its clients.

    Moved are the timers of the event loop, `time.time`, `time.monotonic`, Django's `timezone.now`,
    and `Now()` in queries. Not moved are `datetime.now()`, timestamps that SQL itself makes, and
    other processes. Real time goes on as well.
    """
    if Engine.here() is not None:
        raise RuntimeError("Start the clock before the engine and the first client.")
    moved = Clock()
    with ExitStack() as stack:
        for module, name in ((time, "monotonic"), (time, "time"), (timezone, "now")):
            stack.enter_context(patch.object(module, name, _moved(moved, getattr(module, name))))
        stack.enter_context(patch.object(Now, "as_sqlite", _sqlite(moved)))
        stack.enter_context(patch.object(Now, "as_postgresql", _postgresql(moved)))
        yield moved


def _moved(moved: Clock, real: Callable[[], Any]) -> Callable[[], Any]:
    def now() -> Any:
        value = real()
        is_moment = isinstance(value, datetime)
        return value + (timedelta(seconds=moved.offset) if is_moment else moved.offset)

    return now


def _sqlite(moved: Clock) -> Callable[..., Any]:
    def as_sqlite(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        template = (
            f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW', '{moved.offset} seconds')"
        )
        return self.as_sql(compiler, connection, template=template, **context)

    return as_sqlite


def _postgresql(moved: Clock) -> Callable[..., Any]:
    def as_postgresql(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f"(STATEMENT_TIMESTAMP() + INTERVAL '{moved.offset} seconds')"
        return self.as_sql(compiler, connection, template=template, **context)

    return as_postgresql
