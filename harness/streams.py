"""A TCP connection that ends with its block, however the block ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def open_stream(
    host: str, port: int, **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect; abort the connection when the block ends, also by an error or a cancellation.

    A stream that is left open is closed by the garbage collector, which warns of it in whatever
    test then runs. `options` are those of `asyncio.open_connection`.
    """
    reader, writer = await asyncio.open_connection(host, port, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
