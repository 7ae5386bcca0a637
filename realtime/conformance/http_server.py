"""The server of a scenario over plain HTTP. It refuses handshakes, as a network without sockets."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Self

from .exchange import Exchange, Request

__all__ = ["HttpServer"]

PATH = "/realtime/http"
LIVE = "/realtime/live/"
OTHER = "HTTP/1.1 {status} Scripted\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
"""The errors of a request or command that breaks the protocol; it gets no response."""
ACCEPT_TURNS = 5
"""The turns of the event loop in which a connection that was accepted has begun."""


class HttpServer:
    """Listens for the requests of a client: `line` is for its streams, `commands` for others."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, asyncio.Queue[Exchange]] = defaultdict(asyncio.Queue)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self._address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await _stop_accepting(self._server)
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    @property
    def url(self) -> str:
        """The address for plain HTTP."""
        return f"http://{self._address}{PATH}"

    @property
    def socket_url(self) -> str:
        """The address at which each handshake is refused."""
        return f"ws://{self._address}/ws/"

    async def line(self) -> Exchange:
        """Return the next stream or poll of the client; others have ended before."""
        return await self._waiting["line"].get()

    async def commands(self) -> Exchange:
        """Return the next request that brings commands, and asks for no events."""
        return await self._waiting["commands"].get()

    def has_commands(self) -> bool:
        """Return whether such a request waits for its response."""
        return not self._waiting["commands"].empty()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(EOFError, ConnectionError, *MALFORMED):
                await self._answer(await Request.read(reader), reader, writer)
        finally:
            writer.close()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.method != "POST" or request.path != PATH:
            status = 200 if request.path == LIVE else 403
            writer.write(OTHER.format(status=status).encode())
            await writer.drain()
            return
        exchange = Exchange(request, writer)
        is_line = request.kind != "commands" or not request.body.strip()
        self._waiting["line" if is_line else "commands"].put_nowait(exchange)
        await exchange.watch(reader)


async def _stop_accepting(server: asyncio.Server) -> None:
    """Let the connections begin that were accepted; a server that is closed before leaks them."""
    for socket in server.sockets:
        asyncio.get_running_loop().remove_reader(socket.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)
