"""A line to a server that can be cut, which a browser's own "offline" does not do to WebSockets."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from types import TracebackType

from harness.streams import open_stream


@contextlib.contextmanager
def beside(port: int) -> Iterator["Proxy"]:
    """A proxy in a thread of its own, for clients that block theirs."""
    started: Future[Proxy] = Future()
    ended = threading.Event()

    async def serve() -> None:
        async with Proxy(port) as proxy:
            started.set_result(proxy)
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield started.result(10)
    finally:
        ended.set()
        thread.join(10)


class Proxy:
    """Forwards TCP to `port`; `cut()` aborts what is open and refuses more until `restore()`.

    With another `target` new lines lead there, and those that are open stay as they are. `mute()`
    swallows what the server sends, as on a line that breaks a moment later.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._is_mute = False

    async def __aenter__(self) -> "Proxy":
        self.loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def mute(self) -> None:
        self._is_mute = True

    def restore(self) -> None:
        self._is_cut = self._is_mute = False

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # which streams would log
            if not self._is_cut:
                async with open_stream("127.0.0.1", self.target) as (far_reader, far_writer):
                    there = self._pump(reader, far_writer)
                    back = self._pump(far_reader, writer, may_be_mute=True)
                    await asyncio.gather(there, back)
        writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        may_be_mute: bool = False,
    ) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                if may_be_mute and self._is_mute:
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Appliance(Proxy):
    """A proxy that lets no WebSocket through: it cuts it at its handshake, or soon after."""

    def __init__(self, port: int, seconds: float) -> None:
        super().__init__(port)
        self.seconds = seconds

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cutting = asyncio.create_task(self._cut_socket(reader, writer))
        try:
            await super()._forward(reader, writer)
        finally:
            cutting.cancel()

    async def _cut_socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffered: bytearray = reader._buffer  # type: ignore[attr-defined]
        while b"\r\n" not in buffered:
            await asyncio.sleep(0)
        if buffered.startswith(b"GET /ws"):
            await asyncio.sleep(self.seconds)
            writer.transport.abort()
