"""Many cheap sockets, as wrong, fast or silent as a fault needs them; and what is measured."""

import asyncio
import base64
import json
import math
import os
import re
import resource
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.site import Server, Site
from tests.client import Client, Object, decode, encode, matches
from tests.faults.fault import Ground

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "MB",
    "PROMISES",
    "TEXT",
    "Ask",
    "Memory",
    "Raw",
    "Refused",
    "allow_many_files",
    "asking",
    "connect",
    "frame",
    "head",
    "lines_a_second",
    "logged",
    "look",
    "p99",
    "ping",
    "say",
    "seconds_until",
    "start_inside",
    "told_of",
]

Ask = Callable[[], Awaitable[object]]
CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8
PROMISES = {"Sec-WebSocket-Protocol": "realtime.v1.json"}
"""Who speaks a version of the protocol answers the server; the plainest client may not."""
MB = 1024 * 1024
INSIDE = "tests.faults._inside"
DROPPED = 1006
LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ (?:INFO|WARNING|ERROR|CRITICAL) (\S+: .*)$", re.MULTILINE)
MORE = re.compile(r" \(and (\d+) more\)")
DETAIL = re.compile(r"\b[0-9a-f]{12}\b|\d+")


class Refused(ConnectionError):  # noqa: N818 - what the server did
    """A handshake that was not answered with 101; `status` is 0 where it got no answer at all."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Raw:
    """One WebSocket without manners: it sends what it is told to, and answers no ping."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen: list[Object] = []

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str] | None = None) -> "Raw":
        """Shake hands; raises `Refused` where the server does not want to."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(_handshake(url, headers or {}))
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

    def send(self, kind: str, **fields: Any) -> None:
        """Send a command."""
        self.write(encode("json", {"type": kind, **fields}))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; EOFError or OSError where none comes any more."""
        start = await self.reader.readexactly(2)
        size = start[1] & 0x7F
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        opcode, payload = start[0] & 0x0F, await self.reader.readexactly(size)
        if opcode == TEXT:
            self.seen += decode("json", payload.decode())
        return opcode, payload

    async def expect(self, kind: str, timeout: float = 30, **fields: Any) -> Object:
        """The next object of this type with these fields; others are passed over."""
        try:
            async with asyncio.timeout(timeout):
                return await self._next(kind, fields)
        except TimeoutError:
            raise TimeoutError(f"no {kind}, but {self.seen[-3:]}") from None

    async def _next(self, kind: str, fields: Object) -> Object:
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                raise ConnectionError(f"closed with {payload[:2].hex()} after {self.seen[-1:]}")
            if opcode == TEXT and matches(self.seen[-1], kind, fields):
                return self.seen[-1]

    async def ended(self, timeout: float = 30) -> int:
        """Read to the end; the close code, or 1006. TimeoutError where there is no end."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    opcode, payload = await self.receive()
                    if opcode == CLOSE:
                        self.write(payload[:2], CLOSE)
                        return int.from_bytes(payload[:2], "big") or DROPPED
        except (EOFError, OSError):
            return DROPPED

    async def close(self) -> None:
        """Say goodbye, as a client should."""
        self.write((1000).to_bytes(2, "big"), CLOSE)
        await self.ended()
        self.drop()

    def drop(self) -> None:
        """Be gone without a word."""
        self.writer.transport.abort()


def frame(payload: str | bytes, opcode: int = TEXT, *, is_last: bool = True) -> bytes:
    """A client's frame; it is masked with nothing, as any key will do."""
    data = payload.encode() if isinstance(payload, str) else payload
    return head(len(data), opcode, is_last=is_last) + data


def head(size: int, opcode: int = TEXT, *, is_last: bool = True) -> bytes:
    """What comes before a payload of `size` bytes."""
    first = bytes([(0x80 if is_last else 0) | opcode])
    if size < 126:
        return first + bytes([0x80 | size]) + bytes(4)
    if size < 2**16:
        return first + b"\xfe" + size.to_bytes(2, "big") + bytes(4)
    return first + b"\xff" + size.to_bytes(8, "big") + bytes(4)


def _handshake(url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    lines = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **headers,
    }
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode("latin1")


# How long things take.


@asynccontextmanager
async def asking(ask: Ask, every: float = 0.02) -> AsyncIterator[list[float]]:
    """Call `ask()` again and again meanwhile; yields the list of the seconds that each took.

    The last one is waited for as well: what hangs must count.
    """
    took: list[float] = []
    is_over = asyncio.Event()

    async def go() -> None:
        while not is_over.is_set():
            began = time.monotonic()
            await ask()
            took.append(time.monotonic() - began)
            await asyncio.sleep(every)

    task = asyncio.create_task(go())
    try:
        yield took
    finally:
        is_over.set()
        await asyncio.wait_for(task, 30)


def p99(took: Iterable[float]) -> float:
    """What 99 of 100 do not exceed."""
    ordered = sorted(took)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


def ping(client: Client) -> Ask:
    """Asks for a `pong`."""

    async def ask() -> None:
        await client.send("ping")
        await client.expect("pong")

    return ask


def say(client: Client, room: str = "general") -> Ask:
    """Sends a message and waits for its `ack`."""
    return lambda: client.say(room, "as ever")


def connect(url: str) -> Ask:
    """Connects until welcome, and goes."""

    async def ask() -> None:
        raw = await Raw.open(url)
        await raw.expect("welcome")
        raw.drop()

    return ask


async def seconds_until(
    condition: Callable[[], Awaitable[Any]], timeout: float, since: float | None = None
) -> float:
    """Wait so long for `await condition()` to be true; the seconds it took, from `since` on."""
    began = time.monotonic() if since is None else since
    while not await condition() and time.monotonic() < began + timeout:
        await asyncio.sleep(0.05)
    return time.monotonic() - began


# What a server process has.


class Memory:
    """What a process holds in memory more than when this was made, in bytes (Linux)."""

    def __init__(self, server: Server) -> None:
        assert server.popen
        self._folder = Path(f"/proc/{server.popen.pid}")
        (self._folder / "clear_refs").write_text("5")  # the highest mark starts anew
        self._before = self._read("VmRSS")

    @property
    def grown(self) -> int:
        """Now."""
        return self._read("VmRSS") - self._before

    @property
    def peak(self) -> int:
        """At the worst moment."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024


def allow_many_files() -> None:
    """Let this process, and the servers it starts, open as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start_inside(ground: Ground, **options: Any) -> Site:
    """A site whose one server can be looked into, and has handlers that break."""
    site = ground.make_site(servers=(), urls=INSIDE, **options)
    site.start("daphne", application=f"{INSIDE}:application")
    return site


async def look(server: Server) -> dict[str, int]:
    """What such a server holds now, and how many queries it has made."""

    def get() -> dict[str, int]:
        with urllib.request.urlopen(f"{server.url}/counts", timeout=30) as response:
            found: dict[str, int] = json.load(response)
            return found

    return await asyncio.to_thread(get)


# What a log says.


def logged(log: str) -> Counter[str]:
    """How many lines of each reason there are, whatever connection or number they name."""
    return Counter(DETAIL.sub("#", MORE.sub("", line)) for line in LINE.findall(log))


def lines_a_second(log: str, seconds: float) -> float:
    """Of the reason with the most; the very first line comes at once."""
    return max((number - 1 for number in logged(log).values()), default=0) / seconds


def told_of(log: str, what: str) -> int:
    """How often something happened, by the lines that say so and what they say was left out."""
    lines = [line for line in LINE.findall(log) if what in line]
    return len(lines) + sum(int(more) for line in lines for more in MORE.findall(line))
