"""The engine of a test: it runs in the loop of the test, and on the database connection of Django.

Its clients share one engine: the first of them starts it, and the last one stops it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.test import override_settings

from ..conf import config
from ..engine.engine import Engine
from .commits import run_committed

__all__ = ["Quiet", "engine", "sharing"]

QUIET_TURNS = 3
"""After so many turns of the event loop without any work, nothing is under way."""
QUIET_SECONDS = 10.0
PAUSE_SECONDS = 0.005
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, "_Shared"] = WeakKeyDictionary()


@asynccontextmanager
async def engine(**overrides: Any) -> AsyncIterator[Engine]:
    """Run the engine of this event loop inside a block, then stop it.

    Database work runs in Django's own thread, so that consumers see what a `TestCase` has
    written in its transaction. `overrides` are keys of `REALTIME`.

        async with engine(GUESTS=True), connect() as guest:
            ...
    """
    known = getattr(settings, "REALTIME", {})
    with _overridden({**known, "DB_THREADS": 0, **overrides}):
        running = await Engine.current()
        Quiet.watch(running)
        try:
            yield running
        finally:
            await running.stop()
            running.unregister()


class Quiet:
    """Knows whether the engine of a test still has work under way that a test can wait for."""

    def __init__(self, watched: Engine) -> None:
        self._engine = watched
        self._jobs = 0
        self._run: Callable[..., Any] = watched.db._run

    @classmethod
    def watch(cls, watched: Engine) -> None:
        """Count the database work of an engine, and have it committed as far as a test can."""
        quiet, submit = cls(watched), watched.db._submit
        vars(watched.db)["_run"] = quiet._counted
        vars(watched.db)["_submit"] = partial(_submit_committed, submit)

    @classmethod
    def of(cls, watched: Engine) -> "Quiet":
        """Return the object that watches an engine; make one if there is none."""
        if "_run" not in vars(watched.db):
            cls.watch(watched)
        made: Quiet = vars(watched.db)["_run"].__self__
        return made

    async def wait(self) -> None:
        """Wait until all database work is done, and all events are sent that are known."""
        quiet = 0
        async with asyncio.timeout(QUIET_SECONDS):
            while quiet < QUIET_TURNS:
                await asyncio.sleep(0)
                quiet = 0 if self._is_busy else quiet + 1

    async def wait_for_all(self) -> None:
        """Wait also for what takes longer: moves wait for a client, presence for a timer."""
        async with asyncio.timeout(QUIET_SECONDS):
            await self.wait()
            while self._has_more_to_do:
                await asyncio.sleep(PAUSE_SECONDS)
                await self.wait()

    @property
    def _is_busy(self) -> bool:
        hub, writer = self._engine.hub, self._engine.writer
        is_written = writer.is_idle and self._engine.after.is_idle
        calls = self._engine.db._shared_calls
        return bool(self._jobs or calls) or not is_written or hub.has_pending_events

    @property
    def _has_more_to_do(self) -> bool:
        is_moving = any(one.events.is_moving for one in self._engine.connections.values())
        return is_moving or not self._engine.presence.is_idle

    async def _counted(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        self._jobs += 1
        try:
            if config().db_threads:
                return await self._run(name, function, *args)
            return await self._run(name, run_committed, function, *args)
        finally:
            self._jobs -= 1


def _submit_committed(submit: Callable[..., Any], name: str, owner: object, *call: Any) -> Any:
    return submit(name, owner, run_committed, *call)


class _Shared:
    """The engine that the open clients of one event loop share."""

    def __init__(self) -> None:
        self._clients = 0
        self._lock = asyncio.Lock()

    async def acquire(self) -> Engine:
        """Return the engine; the first client starts it, unless the test has done so."""
        async with self._lock:
            if not self._clients:
                self._own = engine() if Engine.here() is None else None
                if self._own is not None:
                    await self._own.__aenter__()
            self._clients += 1
            return await Engine.current()

    async def release(self) -> None:
        """Stop the engine after the last client."""
        async with self._lock:
            self._clients -= 1
            if not self._clients and self._own is not None:
                await self._own.__aexit__(None, None, None)


@asynccontextmanager
async def sharing() -> AsyncIterator[Engine]:
    """Give a client the engine of this event loop for as long as the block runs."""
    shared = _shared.setdefault(asyncio.get_running_loop(), _Shared())
    running = await shared.acquire()
    try:
        yield running
    finally:
        await shared.release()


@contextmanager
def _overridden(given: dict[str, Any]) -> Iterator[None]:
    """Override `REALTIME` so that this and other overrides may end in any order.

    `override_settings` restores the settings that it found. An override of a test that begins
    inside this one and ends later (pytest-django's `settings` with an engine in a fixture) would
    restore this one for good. So `REALTIME` is removed from the object that could be restored.
    """
    override = override_settings(REALTIME=given)
    override.enable()
    ours: Any = settings._wrapped  # type: ignore[misc]
    try:
        yield
    finally:
        if settings._wrapped is ours:  # type: ignore[misc]
            override.disable()
        vars(ours).pop("REALTIME", None)
        config.cache_clear()
