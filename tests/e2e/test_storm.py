"""All clients come back at once: the kernel keeps their handshakes until the server has time."""

import asyncio
import contextlib

from harness.site import Factory
from tests.client import eventually

ASK = b"GET /realtime/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CLIENTS = 500
"""More than the 50 that Daphne's ports have room for."""


async def test_a_storm_of_handshakes_waits_and_is_not_turned_away(make_site: Factory) -> None:
    """The server is stopped meanwhile; all are connected by the kernel, and then answered."""
    site = make_site()
    [server] = site.servers
    server.pause()
    opening = [
        asyncio.ensure_future(asyncio.open_connection("127.0.0.1", server.port))
        for _ in range(CLIENTS)
    ]
    try:
        await eventually(lambda: all(one.done() for one in opening), 5)
    finally:
        server.resume()
        sockets = await asyncio.gather(*opening)
    for _, writer in sockets:
        writer.write(
            b"GET /realtime/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
    async with asyncio.timeout(30):
        lines = await asyncio.gather(*(reader.readline() for reader, _ in sockets))
    assert {line.split()[1] for line in lines} == {b"200"}
    for _, writer in sockets:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
