"""Keep one line open: connect, and connect again after growing waits."""

import asyncio
import inspect
import logging
import ssl as tls
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from ..logs import NoTokens
from .clock import Backoff
from .frames import Encoding, Incoming
from .line import DROPPED, End, Line

__all__ = ["Connection", "Options", "Receiver", "State", "Token"]

Token = str | None | Callable[[], str | Awaitable[str | None] | None]
CONNECT_SECONDS, CLOSE_SECONDS, STABLE_SECONDS = 10.0, 1.0, 5.0
FRAME_BYTES = 16 * 1024 * 1024
"""The largest frame that is read; a server sends less than 1 MiB."""
PASSING = frozenset({408, 425, 429})
"""HTTP answers below 500 after which another attempt may succeed."""
REFUSED_SECONDS = 15 * 60.0
"""For so long a client that was connected takes other answers below 500 for a passing fault.

A deploy or a proxy may cause them. Afterwards, the address or the credentials are wrong.
"""


class State(StrEnum):
    """The state of a client's connection."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Options:
    """How to open a socket."""

    url: str
    encoding: Encoding
    token: Token = None
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str | None = None
    ssl: tls.SSLContext | None = None


class Receiver(Protocol):
    """What a connection tells its client."""

    def receive(self, event: Incoming) -> None:
        """Take an event that is no reply."""

    def dropped(self) -> None:
        """Know that the line has ended."""

    def tick(self) -> None:
        """Do what is due, every few seconds while the line is open."""

    def changed(self, state: State, end: End | None, retry_in: float | None) -> None:
        """Know of another state; `end` is that of the last line."""


class Connection:
    """The lines to one server, one after the other."""

    def __init__(self, options: Options, receiver: Receiver) -> None:
        self._options = options
        self._receiver = receiver
        self._backoff = Backoff()
        self._now = asyncio.Event()
        self._was_open = False
        self._refused_since: float | None = None
        self.state = State.IDLE
        self.line: Line | None = None
        """The line as long as it may carry commands."""
        self.guest_token: str | None = None

    async def run(self) -> End:
        """Stay connected; return how the last line has ended, if no other one is wanted."""
        try:
            while (end := await self._attempt()).reconnect:
                wait = self._backoff.next(end.retry_after)
                self._become(State.WAITING, end, wait)
                await self._pause(wait)
            self._become(State.CLOSED, end)
            return end
        finally:
            self.state = State.CLOSED

    def connect_now(self) -> None:
        """End the wait for the next attempt."""
        self._now.set()

    def opened(self) -> None:
        """Become open: the server has sent its `welcome`, for the expected user."""
        if self.line is not None and not self.line.is_over:
            self.line.after(STABLE_SECONDS, self._backoff.reset)
            self._was_open, self._refused_since = True, None
            self._become(State.OPEN)

    async def token(self) -> str | None:
        """Return the token for the next handshake or `auth`, as the application gives it."""
        token = self._options.token
        if not callable(token):
            return token
        if inspect.iscoroutinefunction(token):
            return await token()  # type: ignore[no-any-return]
        found = await asyncio.to_thread(token)  # it may ask another server
        return await found if inspect.isawaitable(found) else found

    async def _pause(self, seconds: float) -> None:
        self._now.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._now.wait()
        except TimeoutError:
            pass

    async def _attempt(self) -> End:
        self._become(State.CONNECTING)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._open(await self.token() or self.guest_token)
        except InvalidStatus as error:
            return self._refused(error.response.status_code)
        except TimeoutError:
            return End(DROPPED, "The server did not answer the handshake in time.")
        except Exception as error:  # of the network, or of the application's token
            return End(DROPPED, f"{type(error).__name__}: {error}")
        receiver = self._receiver
        encoding = Encoding.agreed(self._options.encoding, socket.subprotocol)
        self.line = Line(socket, encoding, receiver.receive, receiver.tick)
        try:
            return await self.line.run()
        finally:
            self.line = None
            receiver.dropped()

    async def _open(self, token: str | None) -> ClientConnection:
        options = self._options
        headers = dict(options.headers)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        extra: dict[str, Any] = {"ssl": options.ssl} if options.ssl else {}
        return await connect(
            options.url,
            subprotocols=[Subprotocol(options.encoding.subprotocol)],
            origin=Origin(options.origin) if options.origin else None,
            additional_headers=headers,
            compression=None,
            open_timeout=None,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,
            max_size=FRAME_BYTES,
            logger=_socket_logger(),
            **extra,
        )

    def _refused(self, status: int) -> End:
        """Judge an HTTP answer: a wrong address is hopeless, unless it was right lately."""
        is_final = 400 <= status < 500 and status not in PASSING
        if is_final and self._was_open:
            now = time.monotonic()
            self._refused_since = self._refused_since or now
            is_final = now - self._refused_since > REFUSED_SECONDS
        path = urlsplit(self._options.url).path
        return End(
            DROPPED,
            f"The server answered the handshake at {path} with HTTP status {status}.",
            reconnect=not is_final,
        )

    def _become(self, state: State, end: End | None = None, retry_in: float | None = None) -> None:
        self.state = state
        self._receiver.changed(state, end, retry_in)


def _socket_logger() -> logging.Logger:
    """Return a logger that hides tokens: the library logs headers and frames at DEBUG."""
    logger = logging.getLogger("realtime.client.socket")
    if not any(isinstance(one, NoTokens) for one in logger.filters):
        logger.addFilter(NoTokens())
    return logger
