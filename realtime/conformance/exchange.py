"""One request of a client over plain HTTP, which is a line as short as its response."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .frames import completed
from .http_request import chunks
from .line import Frame, Line

__all__ = ["Exchange", "Request"]

HEAD = "HTTP/1.1 {status} Scripted\r\n{headers}\r\n"
ALWAYS = "Connection: close\r\nCache-Control: no-store\r\n"
STREAM = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
HALF = 'data: {"type": "mess'
EACH = {"joins": ("join", "rooms"), "subscribes": ("subscribe", "topics")}
"""The commands that enter several rooms or topics."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head and the body of a request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> "Request":
        """Read a request; raise `ValueError` or `EOFError` if there is none."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        named = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in named}
        return cls(method, target, headers, await _body(reader, headers))

    @property
    def path(self) -> str:
        """The path of the address."""
        return urlsplit(self.target).path

    @property
    def kind(self) -> str:
        """The kind of response that the client wants: `stream`, `poll` or `commands`."""
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return "stream" if "stream" in query else "poll" if "wait" in query else "commands"

    def commands(self) -> Iterator[Frame]:
        """Yield the commands of the body; each room of a `joins` is a `join` with its `ref`."""
        for line in self.body.decode().split("\n"):
            if line.strip():
                yield from _each(json.loads(line))


class Exchange(Line):
    """One request of the client, seen from its server."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.request = request
        self._writer = writer
        self._frames: list[Frame] = []
        """The frames of a response that is sent as a whole."""
        self._has_begun = False
        self._take(request.commands())

    @property
    def token(self) -> str | None:
        """The bearer token of the request."""
        kind, _, token = self.request.headers.get("authorization", "").partition(" ")
        return token if kind == "Bearer" else None

    @property
    def user(self) -> str | None:
        """The user for whom the client says that its page was made."""
        user = self.request.headers.get("x-realtime-user")
        return None if user is None else unquote(user)

    async def welcome(self, more: Frame) -> None:
        """Send the first frame; a request without commands is answered by it."""
        await super().welcome(more)
        if self.request.kind == "commands" and not self.rest():
            await self.cut("end")

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send objects as events of a stream, or keep them for the end of the response."""
        if self.request.kind != "stream":
            self._frames += map(completed, frames)
            return
        events = (f"data: {json.dumps(completed(one))}\n\n" for one in frames)
        await self.raw("".join(events))

    async def raw(self, text: str) -> None:
        """Send a part of a stream."""
        if not self._has_begun:
            self._has_begun = True
            self._write(HEAD.format(status=200, headers=ALWAYS + STREAM))
        data = text.encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def refuse(self, status: int, frame: Frame) -> None:
        """Answer with a status and one object."""
        await self._respond(status, [completed(frame)])

    async def cut(self, how: str | int) -> None:
        """End the response: `end`, `reset`, or `half` of a line and then a reset."""
        if how == "half":
            await self.raw(HALF)
        if how != "end":
            self._writer.transport.abort()
        elif self.request.kind != "stream":
            await self._respond(200, self._frames)
        else:
            self._writer.write(b"0\r\n\r\n")
            self._writer.close()

    async def watch(self, reader: asyncio.StreamReader) -> None:
        """Wait until the client has ended the request, or the response has ended."""
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            self._end()
            self._writer.close()

    async def _respond(self, status: int, frames: Sequence[Frame]) -> None:
        data = "".join(f"{json.dumps(one)}\n" for one in frames).encode()
        length = f"Content-Type: application/x-ndjson\r\nContent-Length: {len(data)}\r\n"
        self._write(HEAD.format(status=status, headers=ALWAYS + length))
        self._writer.write(data)
        await self._writer.drain()
        self._writer.close()

    def _write(self, head: str) -> None:
        self._writer.write(head.encode("latin1"))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return b"".join([one async for one in chunks(reader)])
    return await reader.readexactly(int(headers.get("content-length", "0")))


def _each(command: dict[str, Any]) -> Iterator[Frame]:
    kind = command.get("type")
    if kind not in EACH:
        yield command
        return
    single, places = EACH[kind]
    for place in command[places]:
        yield {"type": single, "ref": command.get("ref"), **place}
