"""For a site's own tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.conf import settings
from django.test import override_settings

from .engine.engine import Engine

__all__ = ["engine"]


@asynccontextmanager
async def engine(**overrides: Any) -> AsyncIterator[Engine]:
    """Run the engine of this event loop for the length of a block, then stop it.

    Database work goes through Django's own thread, so that consumers see what a `TestCase`
    has written in its transaction. `overrides` are keys of `REALTIME`.

        async with engine():
            communicator = WebsocketCommunicator(RoomConsumer.as_asgi(), "/ws")
    """
    known = getattr(settings, "REALTIME", {})
    with override_settings(REALTIME={**known, "DB_THREADS": 0, **overrides}):
        running = await Engine.current()
        try:
            yield running
        finally:
            await running.stop()
            running.forget()
