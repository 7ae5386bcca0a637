"""A server that does nothing but answer: what its clients wait is the noise of the machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import connect

from harness.site import Server, Site
from tests.faults.meters import asking

__all__ = ["noise", "start_bare"]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send each text back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def start_bare(site: Site) -> Server:
    """Start the server beside those of a site; it ends with them."""
    [bare] = site.start("daphne", application=f"{__name__}:application")
    return bare


@asynccontextmanager
async def noise(bare: Server) -> AsyncIterator[list[float]]:
    """Ask the server again and again meanwhile; yields the list of the seconds of each answer."""
    async with connect(bare.ws, compression=None, proxy=None) as socket:

        async def ask() -> None:
            await socket.send("ping")
            await socket.recv()

        async with asking(ask) as took:
            yield took
