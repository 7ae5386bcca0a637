"""Support for the tests of a site."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from django.conf import settings
from django.test import override_settings

from .conf import config
from .engine.engine import Engine

__all__ = ["engine"]


@asynccontextmanager
async def engine(**overrides: Any) -> AsyncIterator[Engine]:
    """Run the engine of this event loop inside a block, then stop it.

    Database work runs in Django's own thread, so that consumers see what a `TestCase` has
    written in its transaction. `overrides` are keys of `REALTIME`.

        async with engine():
            communicator = WebsocketCommunicator(RoomConsumer.as_asgi(), "/ws")
    """
    known = getattr(settings, "REALTIME", {})
    with _overridden({**known, "DB_THREADS": 0, **overrides}):
        running = await Engine.current()
        try:
            yield running
        finally:
            await running.stop()
            running.unregister()


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
