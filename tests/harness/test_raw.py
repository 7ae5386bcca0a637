"""The client that may break every rule: how it hears of the end."""

from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from harness.client.raw import DROPPED, Raw


async def hang(connection: ServerConnection) -> None:
    """Send objects until the client goes."""
    await connection.send('{"type":"welcome"}')
    await connection.wait_closed()


async def end(connection: ServerConnection) -> None:
    """Close with a code."""
    await connection.close(4000)


async def drop(connection: ServerConnection) -> None:
    """Close without a word."""
    connection.transport.abort()


async def closed(server: Callable[[ServerConnection], Awaitable[None]], seconds: float) -> int:
    async with serve(server, "127.0.0.1", 0, compression=None, close_timeout=1) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        raw = await Raw.open(f"ws://127.0.0.1:{port}/")
        try:
            return await raw.closed(seconds)
        finally:
            raw.drop()


@pytest.mark.parametrize(("server", "code"), [(end, 4000), (drop, DROPPED)])
async def test_the_code_of_the_close_is_returned(
    server: Callable[[ServerConnection], Awaitable[None]], code: int
) -> None:
    """A dropped connection has the code that RFC 6455 reserves for that."""
    assert await closed(server, 15) == code


async def test_a_connection_that_stays_open_is_not_closed() -> None:
    """A timeout is not taken for a dropped connection, though it is an OSError as well."""
    with pytest.raises(TimeoutError):
        await closed(hang, 0.1)
