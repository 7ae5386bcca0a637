"""A request over plain HTTP without a library: what it sends, and the frames of its response."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from .line import Frame

__all__ = ["chunks", "post"]

PORTS = {"http": 80, "https": 443}
DATA = "data:"
DISCONNECT = "disconnect"


async def post(url: str, headers: Mapping[str, str], body: str) -> AsyncIterator[Frame]:
    """Yield the frames of a response as they come.

    Raises `ConnectionError` if it is cut, or if its status is an error without a `disconnect`.
    """
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    tls = True if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    try:
        writer.write(_head(url, headers, len(body.encode())) + body.encode())
        status, content = await _response(reader)
        async for line in _lines(content):
            if line.startswith(("{", DATA)):
                frame: Frame = json.loads(line.removeprefix(DATA))
                if status == HTTPStatus.OK or frame.get("type") == DISCONNECT:
                    yield frame
        if status != HTTPStatus.OK:
            raise ConnectionError(f"The server answered with HTTP status {status}.")
    finally:
        writer.close()


def _head(url: str, headers: Mapping[str, str], length: int) -> bytes:
    parts = urlsplit(url)
    target = parts._replace(scheme="", netloc="").geturl()
    own = {"Host": parts.netloc, "Content-Length": length, "Connection": "close", **headers}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin1")


async def _response(reader: asyncio.StreamReader) -> tuple[int, AsyncIterator[bytes]]:
    """Return the status of a response, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").lower()
    status, *lines = head.strip().split("\r\n")
    named = dict(line.partition(":")[::2] for line in lines)
    if "chunked" in named.get("transfer-encoding", ""):
        return int(status.split()[1]), chunks(reader)
    return int(status.split()[1]), _whole(reader, int(named.get("content-length", "0")))


async def _whole(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    yield await reader.readexactly(length)


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the parts of a body that is sent in chunks."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines of a body; what comes after the last end of a line is none."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode()
