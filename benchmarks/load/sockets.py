"""Sockets that keep nothing of what they get but how far they are in a checked stream."""

import asyncio
import socket as tcp
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from harness.client.frames import PING, PONG, TEXT, Frame, frame, frames, upgrade

from .dialects import Dialect
from .stream import Run, Stream

__all__ = ["Book", "Socket", "until"]

ENTER_SECONDS = 60
SMALL_BUFFER = 4096
"""Of a socket that is to be full soon; else a kernel takes megabytes for one that reads nothing."""


class Book:
    """The members of one room, who should all get the same."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.sent: dict[int, int] = {}
        """The last number of each sender."""
        self.senders: set[Socket] = set()
        self.dropped = 0
        """How many the server has closed."""

    @property
    def listeners(self) -> list["Socket"]:
        """Those who get every message."""
        return [
            socket
            for socket in self.sockets
            if socket.dialect.hears_itself or socket not in self.senders
        ]

    @property
    def faults(self) -> int:
        """What was doubled, changed or out of order."""
        return sum(stream.faults for stream in {socket.stream for socket in self.sockets})

    def unite(self) -> None:
        """Have all members follow one stream from now on; nothing may be on its way.

        All but the senders: they also get what is for them alone.
        """
        stream = Stream()
        for socket in self.sockets:
            if socket in self.senders:
                socket.follow(Stream(), is_alone=True)
            else:
                socket.follow(stream)


class Socket(asyncio.Protocol):
    """One connection, as a client of RFC 6455."""

    def __init__(self, dialect: Dialect, request: bytes) -> None:
        self.dialect = dialect
        self.stream = Stream()
        self.stream.readers.append(self)
        self.on_run: Callable[[Run], None] | None = None
        self.on_ack: Callable[[int], None] | None = None
        self._request = request
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard: list[bytes] = []
        self._wanted: tuple[bytes, asyncio.Future[bytes]] | None = None
        self._begin = b""
        self.position = 0
        self._index = 0
        self._is_in = False
        self._is_followed = False
        self.is_lost = self._is_closed = False

    @classmethod
    async def open(
        cls,
        dialect: Dialect,
        book: Book,
        base: str,
        room: str,
        cookie: str = "",
        *,
        is_small: bool = False,
    ) -> "Socket":
        """Connect and enter a room; a small one has hardly a buffer."""
        socket = await cls.connect(dialect, dialect.url(base, room), cookie, is_small=is_small)
        await dialect.enter(socket, room)
        socket.is_in(book)
        return socket

    @classmethod
    async def connect(
        cls, dialect: Dialect, url: str, cookie: str = "", *, is_small: bool = False
    ) -> "Socket":
        """Connect, and no more; raises ConnectionError where the server refuses."""
        parts = urlsplit(url)
        headers = {"Sec-WebSocket-Protocol": dialect.subprotocol, "Cookie": cookie}
        request = upgrade(url, {name: value for name, value in headers.items() if value})
        loop = asyncio.get_running_loop()
        raw = socket_of(SMALL_BUFFER if is_small else 0)
        await loop.sock_connect(raw, (parts.hostname, parts.port))
        _, socket = await loop.create_connection(lambda: cls(dialect, request), sock=raw)
        async with asyncio.timeout(ENTER_SECONDS):
            await socket._opened
        return socket

    @property
    def received(self) -> int:
        """How many messages it has had."""
        return self.stream.count(self.position)

    @property
    def frames(self) -> int:
        """In how many frames."""
        return self.stream.index(self.position)

    def is_in(self, book: Book) -> None:
        """It has entered: from here on what comes is checked."""
        self._is_in = True
        self._heard.clear()
        self.book = book
        book.sockets.append(self)
        if begun := self._begin:
            self._begin = b""
            self._alone(begun)

    def follow(self, stream: Stream, *, is_alone: bool = False) -> None:
        """Go on in a stream, which may be one that others are in, too."""
        self.stream, self._is_followed = stream, not is_alone
        stream.readers.append(self)
        self.position, self._index = stream.end, stream.index(stream.end)

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send a frame."""
        self.transport.write(frame(payload, opcode))

    def stall(self) -> None:
        """Read nothing any more."""
        self.transport.pause_reading()

    def wake(self) -> None:
        """Read again, if only to see whether the server has closed."""
        self.transport.resume_reading()

    def close(self) -> None:
        """Drop the connection."""
        self._is_closed = True
        self.transport.abort()

    async def heard(self, what: bytes) -> bytes:
        """Wait for a frame with something in it, while entering."""
        for payload in self._heard:
            if what in payload:
                self._heard.clear()
                return payload
        wanted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wanted = what, wanted
        try:
            async with asyncio.timeout(ENTER_SECONDS):
                return await wanted
        finally:
            self._wanted = None

    # What the transport calls.

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self._is_in and not self._is_closed:
            self.book.dropped += 1
        said = b" ".join(self._heard[-1:])[:200].decode(errors="replace")
        lost = ConnectionError(f"the server has closed the connection, and last said: {said}")
        for future in (self._opened, self._wanted[1] if self._wanted else None):
            if future is not None and not future.done():
                future.set_exception(lost)

    def data_received(self, data: bytes) -> None:
        if not self._is_in:
            self._enter(data)
        elif self._is_followed and self.stream.has(self.position, data):
            ahead = self.position + len(data) - self.stream.end
            if ahead > 0:
                self._handle(self.stream.append(data[len(data) - ahead :]))
                self.stream.forget()
            self._move(len(data))
        else:
            self._alone(data)

    def _move(self, number: int) -> None:
        self.position += number
        if self.on_run is not None:
            index = self.stream.index(self.position)
            for run in self.stream.runs(self._index, index):
                self.on_run(run)
            self._index = index

    def _alone(self, data: bytes) -> None:
        """What this one gets is not what the others got, as an acknowledgement."""
        if self._is_followed:
            self.stream.readers.remove(self)
            self.stream, self.position = self.stream.fork(self.position)
            self.stream.readers.append(self)
            self._index = self.stream.index(self.position)
            self._is_followed = False
        self._handle(self.stream.append(data))
        self._move(len(data))
        self.stream.forget()

    def _handle(self, found: list[Frame]) -> None:
        for opcode, payload, _ in found:
            if opcode == PING:
                self._answer(payload, PONG)
            elif answer := self.dialect.answer(payload):
                self._answer(answer, TEXT)
            elif self.on_ack is not None and b'"ack"' in payload:
                for nonce in self.dialect.ack.findall(payload):
                    self.on_ack(int(nonce))

    def _answer(self, payload: bytes, opcode: int) -> None:
        """Answer what all in this stream get, and only one reads."""
        for socket in [self, *(one for one in self.stream.readers if one is not self)]:
            socket.send(payload, opcode)

    def _enter(self, data: bytes) -> None:
        self._begin += data
        if not self._opened.done():
            head, separator, rest = self._begin.partition(b"\r\n\r\n")
            if not separator:
                return
            self._begin = rest
            if not head.startswith(b"HTTP/1.1 101"):
                self._opened.set_exception(ConnectionError(head[:200].decode("latin1")))
                return
            self._opened.set_result(None)
        found = list(frames(self._begin))
        if found:
            self._begin = self._begin[found[-1][2] :]
        for opcode, payload, _ in found:
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == TEXT:
                self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        self._heard.append(payload)
        if self._wanted is not None and self._wanted[0] in payload and not self._wanted[1].done():
            self._heard.clear()
            self._wanted[1].set_result(payload)


def socket_of(receive_buffer: int) -> tcp.socket:
    """A TCP socket; with a receive buffer of so many bytes, 0 for what the kernel thinks best."""
    made = tcp.socket()
    made.setblocking(False)
    made.setsockopt(tcp.IPPROTO_TCP, tcp.TCP_NODELAY, 1)
    if receive_buffer:
        made.setsockopt(tcp.SOL_SOCKET, tcp.SO_RCVBUF, receive_buffer)
    return made


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for something for at most so long; returns whether it came."""
    deadline = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
