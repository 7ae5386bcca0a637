"""All clients come back at once: the kernel keeps their handshakes until the server has time."""

import asyncio
from contextlib import AsyncExitStack

from harness.site import Factory
from harness.streams import open_stream

ASK = b"GET /realtime/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CLIENTS = 500
"""More than the 50 that Daphne's ports have room for."""


async def test_a_storm_of_handshakes_waits_and_is_not_turned_away(make_site: Factory) -> None:
    """The server is stopped meanwhile; all are connected by the kernel, and then answered."""
    site = make_site()
    [server] = site.servers
    server.pause()
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(5):
                sockets = [
                    await stack.enter_async_context(open_stream("127.0.0.1", server.port))
                    for _ in range(CLIENTS)
                ]
        finally:
            server.resume()
        for _, writer in sockets:
            writer.write(ASK)
        async with asyncio.timeout(30):
            lines = await asyncio.gather(*(reader.readline() for reader, _ in sockets))
        assert {line.split()[1] for line in lines} == {b"200"}
