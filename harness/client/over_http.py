"""Requests of protocol v1 over plain HTTP, on sockets of their own."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from harness.client.encoding import Object
from harness.streams import open_stream

__all__ = ["Response", "commands", "stream"]

PATIENCE = 15.0


class Response:
    """The response to one request, whose head has come."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self._reader = reader
        self.status = status
        self.headers = headers
        self._rest = b""

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of the body, as they come; raise `ConnectionError` if it is cut."""
        async for chunk in self._chunks():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode()

    async def frames(self) -> AsyncIterator[Object]:
        """Yield the objects of the body, as they come."""
        async for line in self.lines():
            text = line.removeprefix("data: ")
            if text.startswith("{"):
                yield json.loads(text)

    async def _chunks(self) -> AsyncIterator[bytes]:
        reader = self._reader
        if "content-length" in self.headers:
            yield await self._exactly(int(self.headers["content-length"]))
            return
        while size := int(await self._line() or b"0", 16):
            yield await self._exactly(size)
            await self._line()
        if await reader.readline() != b"\r\n":
            raise ConnectionResetError("The response was cut.")

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("The response was cut.") from error

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("The response was cut.")
        return line.strip()


@asynccontextmanager
async def request(
    url: str, sent: list[Object], headers: Mapping[str, str]
) -> AsyncIterator[Response]:
    """Send commands, and give the response inside the block; its socket is closed after it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    body = "\n".join(map(json.dumps, sent)).encode()
    given = {
        "Host": parts.netloc,
        "Content-Type": "application/x-ndjson",
        "Content-Length": str(len(body)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    target = f"{parts.path}?{parts.query}"
    async with open_stream(parts.hostname, parts.port) as (reader, writer):
        writer.write(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        async with asyncio.timeout(PATIENCE):
            status, given = await _head(reader)
        yield Response(reader, status, given)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    start = await reader.readline()
    if not start.endswith(b"\r\n"):
        raise ConnectionResetError("The response was cut.")
    headers = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin1").partition(":")
        headers[name.lower()] = value.strip()
    return int(start.split()[1]), headers


async def commands(url: str, *sent: Object, headers: Mapping[str, str] = {}) -> list[Object]:
    """Send commands, and return all frames of the response."""
    async with asyncio.timeout(PATIENCE), request(url, list(sent), headers) as response:
        return [frame async for frame in response.frames()]


@asynccontextmanager
async def stream(
    url: str, *sent: Object, headers: Mapping[str, str] = {}
) -> AsyncIterator[AsyncIterator[Object]]:
    """Open a stream that begins with these commands; give its frames inside the block."""
    async with request(f"{url}?stream", list(sent), headers) as response:
        assert response.status == 200, response.status
        yield response.frames()


def bearer(token: Any) -> dict[str, str]:
    """Return the headers of a client with a token."""
    return {"Authorization": f"Bearer {token}"}
