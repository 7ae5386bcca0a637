"""A client that may break every rule: it sends any bytes, and answers no ping."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from harness.client.conversation import Closed, Conversation
from harness.client.encoding import decode, subprotocol
from harness.client.frames import BINARY, CLOSE, TEXT, frame, upgrade

__all__ = ["PROMISES", "Raw", "Refused"]

PROMISES = {"Sec-WebSocket-Protocol": subprotocol("json")}
"""A client that names a version of the protocol answers its pings; the plainest one may not."""
DROPPED = 1006


class Refused(ConnectionError):  # noqa: N818 - what the server did
    """A handshake that was not answered with 101; `status` is 0 where it got no answer at all."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Raw(Conversation):
    """One connection; all frames with text are JSON."""

    patience = 30.0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__("json")
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str] | None = None) -> "Raw":
        """Shake hands; raises `Refused` if the server refuses."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(upgrade(url, headers))
            async with asyncio.timeout(30):
                answer = await reader.readuntil(b"\r\n\r\n")
        except (EOFError, OSError):
            writer.transport.abort()
            raise Refused(0) from None
        except BaseException:
            writer.transport.abort()
            raise
        status = int(answer.split(maxsplit=2)[1])
        if status != 101:
            writer.transport.abort()
            raise Refused(status)
        return cls(reader, writer)

    def write(self, payload: str | bytes, opcode: int = TEXT, *, is_last: bool = True) -> None:
        """Send a frame, and wait for nothing."""
        self.writer.write(frame(payload, opcode, is_last=is_last))

    async def raw(self, frame: str | bytes) -> None:
        self.write(frame, TEXT if isinstance(frame, str) else BINARY)

    async def read_frame(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload; objects in it go to `seen` only.

        Raises EOFError or OSError where none comes any more.
        """
        opcode, payload = await self._read()
        if opcode == TEXT:
            self.seen += decode(self.encoding, payload.decode())
        return opcode, payload

    async def closed(self, timeout: float | None = None) -> int:
        """Read until the server closes, and answer it; returns the code, or 1006 if it has none."""
        try:
            code = await super().closed(timeout)
        except TimeoutError:  # which is an OSError
            raise
        except (EOFError, OSError):
            return DROPPED
        self.write(code.to_bytes(2, "big") if code != DROPPED else b"", CLOSE)
        return code

    async def close(self) -> None:
        """Say goodbye, as a client should."""
        self.write((1000).to_bytes(2, "big"), CLOSE)
        await self.closed()
        self.drop()

    def drop(self) -> None:
        """End the connection without a word."""
        self.writer.transport.abort()

    async def _next_frame(self, timeout: float) -> str | bytes:
        async with asyncio.timeout(timeout):
            while True:
                opcode, payload = await self._read()
                if opcode == CLOSE:
                    raise Closed(int.from_bytes(payload[:2], "big") or DROPPED)
                if opcode == TEXT:
                    return payload.decode()

    async def _read(self) -> tuple[int, bytes]:
        start = await self.reader.readexactly(2)
        size = start[1] & 0x7F
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return start[0] & 0x0F, await self.reader.readexactly(size)
