"""Send to one client with backpressure: bound its queue, and close a slow client.

If the server is known, bytes go straight to its transport, framed once for all recipients, or its
`send` is stepped once by hand. That nearly always finishes without suspending, and then a frame
costs no task, no queue and no copy. Any other `send` (of an unknown server or of middleware) is
awaited in a task, in the context of the connection. While the server reports that its buffer is
full, frames wait in a bounded queue. A connection whose queue overflows, or that stays blocked too
long, is closed as slow. If a server reports nothing, the client has to acknowledge what it reads.
A sender of large replies waits by `until_free`, so a client that reads is not closed as slow.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from ...conf import config
from ...logs import get_logger
from ...wire.codecs import Codec
from ...wire.errors import CloseCode, Disconnect
from ...wire.events import DisconnectEvent, Outgoing, Ping, Translate
from ...wire.packet import Packet, byte_length
from ..servers import transport
from ..servers.writers import Write
from .ledger import Ledger
from .send_queue import Senders, SendQueue
from .traffic import Traffic

if TYPE_CHECKING:
    from ..tracing.life import Life

__all__ = ["Outbox"]

logger = get_logger("realtime.outbox")

Send = Callable[[dict[str, Any]], Awaitable[None]]
BLOCKED_SECONDS = 7.5
"""The longest time in which a socket may accept nothing at all."""
BUFFERED_BYTES = 64 * 1024
"""The bytes in a transport beyond which the middleware above it gets no more frames.

At this size asyncio and Twisted tell a server to pause, but middleware may not wait for it.
"""
POLL_SECONDS = 0.05
"""The pause between two checks of such a transport."""
REASON_BYTES = 123
"""The longest reason of a close frame (RFC 6455, section 5.5)."""
CLOSE_SECONDS = 1.5
"""The longest time to send the close, and then for the peer to answer it; else abort."""


class Outbox:
    """Sends frames of one connection in order.

    `end` is called with the reason when the connection must close; it may be called again.
    `server` is the server's own `send` under middleware; by default it is `send`.
    With a `ledger`, the client has to acknowledge what it reads.
    """

    __slots__ = (
        "_blocked",
        "_buffered",
        "_context",
        "_end",
        "_is_closed",
        "_is_closing",
        "_is_direct",
        "_is_paused",
        "_ledger",
        "_send",
        "_senders",
        "_server",
        "_soon",
        "_task",
        "_warned",
        "_write_raw",
        "codec",
        "id",
        "queue",
        "trace",
        "traffic",
    )

    def __init__(
        self,
        connection_id: str,
        send: Send,
        codec: Codec,
        end: Callable[[Disconnect], None],
        server: Any = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.id = connection_id
        self.codec = codec
        self._end = end
        self._send = send
        self._server = send if server is None else server
        self._is_direct = server is None or (server is send and transport.is_direct(send))
        self._context = None if self._is_direct else contextvars.copy_context()
        self._write_raw: Write | None = None
        self._ledger = ledger
        self.queue, self.traffic = SendQueue(), Traffic()
        self.trace: Life | None = None
        self._soon: list[str | bytes] = []
        self._senders: Senders | None = None
        self._task: asyncio.Task[None] | None = None
        self._blocked: asyncio.TimerHandle | None = None
        self._buffered = 0
        self._is_paused = self._is_closed = self._is_closing = self._warned = False

    def open(self) -> None:
        """Use the transport, once the socket is open: subscribe to its backpressure."""
        transport.on_backpressure(self._server, self._pause, self._resume)
        if self._is_direct:
            self._write_raw = transport.raw_writer(self._send)

    def reply(self, outgoing: Outgoing) -> None:
        """Encode and send one reply."""
        self.send(self.codec.encode(outgoing))

    def reply_soon(self, outgoing: Outgoing) -> None:
        """Encode a reply, and write it with all others of this turn of the event loop."""
        if not self._soon:
            asyncio.get_running_loop().call_soon(self._send_soon)
        self._soon.append(self.codec.encode(outgoing))

    def send(self, frame: str | bytes) -> None:
        """Send one frame, as `post` does."""
        self.post(Packet([frame]))

    def post(self, packet: Packet, *, is_requested: bool = False) -> None:
        """Send frames to this client alone; never wait, never raise."""
        self.traffic.send(packet)
        self.deliver(packet, is_requested=is_requested)

    def deliver(self, packet: Packet, *, is_requested: bool = False) -> None:
        """Send frames now if the socket accepts them, else queue them; a lane has counted them.

        What the client has requested does not count as waiting. Its sender waits by `until_free`.
        """
        if self._soon:
            self._send_soon()
        if self.trace is not None:
            self.trace.sent(packet)
        if self.is_free and self._write(packet):
            return
        for frame in packet.frames:
            self._hand_over(frame, is_counted=not is_requested)

    async def until_free(self) -> None:
        """Wait until the client has read so much that no frame waits, or nothing more is sent."""
        if not self._may_go_on():
            self._senders = self._senders or Senders()
            await self._senders.wait(self._may_go_on)

    def _may_go_on(self) -> bool:
        return self.is_free or self._is_closed

    def _hand_over(self, frame: str | bytes, *, is_counted: bool) -> None:
        """Give a frame to the server, or to the queue if other frames wait."""
        if self._is_closed:
            return
        if not self._is_direct or not self.is_free:
            self._enqueue(frame, is_counted=is_counted)
            self._begin()
            return
        coroutine: Any = self._send(_message(frame))
        try:
            future = coroutine.send(None)
        except StopIteration:
            return
        except RuntimeError:
            # This `send` has to run in a task, as code with `asyncio.timeout` does.
            coroutine.close()
            self._enqueue(frame, is_counted=is_counted)
            self._drain()
        except (Exception, asyncio.CancelledError) as error:
            # A step by hand runs in the task of the sender, which this must not cancel.
            self._fail(error)
        else:
            self._drain(_Rest(coroutine, future))

    def _write(self, packet: Packet) -> bool:
        """Write straight to the transport; return False if `send` has to be used."""
        if self._write_raw is None:
            return False
        try:
            return self._write_raw(packet)
        except Exception as error:
            self._fail(error)
            return True

    def _send_soon(self) -> None:
        if self._soon:
            frames, self._soon = self._soon, []
            self.post(Packet(frames))

    @property
    def is_closing(self) -> bool:
        """Whether a close is being sent to the client, or was sent."""
        return self._is_closing

    @property
    def is_free(self) -> bool:
        """Whether a frame may be sent now, because no earlier frame waits."""
        return not (self._is_paused or self.queue or self._is_closed or self._task is not None)

    async def close_with(self, why: Disconnect, translate: Translate) -> None:
        """Send the reason and close the socket; abort it if the client does not accept that."""
        if self._is_closing:
            return
        self._is_closing = True
        self._send_soon()
        await self._finish()
        self.close()
        transport.extend_close_timeout(self._server)
        try:
            end = DisconnectEvent.of(why, translate)
            async with asyncio.timeout(CLOSE_SECONDS):
                if self.codec.is_protocol:
                    await self._send(_message(self.codec.encode(end)))
                reason = _shortened(end.reason)
                await self._send({"type": "websocket.close", "code": end.code, "reason": reason})
        except Exception as error:
            logger.debug("connection %s: the close cannot be sent: %r", self.id, error)
            self.abort()

    async def _finish(self) -> None:
        """Let the sending task finish, if every frame is sent by a task."""
        is_slow = self._is_paused or self._is_closed
        if not self._is_direct and self._task is not None and not is_slow:
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)

    def abort(self) -> bool:
        """Abort the socket, whatever the peer does; return False if only the server can."""
        return transport.abort(self._server)

    def acknowledge(self, token: object) -> None:
        """Note that the client has read everything up to the `ping` with this token."""
        if self._ledger is not None:
            self._ledger.acknowledge(token)

    def close(self) -> None:
        """Send nothing more; the client gets the queued events when it resumes."""
        self._stop()
        if self._task is not None:
            self._task.cancel()

    def _enqueue(self, frame: str | bytes, *, is_counted: bool) -> None:
        self.queue.add(frame, is_counted=is_counted)
        if (filled := self.queue.filled) > 1 and len(self.queue) > 1:
            self._cut(f"{len(self.queue)} frames and {self.queue.size} bytes wait")
        elif filled > config().outbox_warn_at and not self._warned:
            self._warned = True
            _warn(self)

    def _cut(self, why: str) -> None:
        logger.info("connection %s is closed as slow: %s", self.id, why)
        self._stop()
        self._end(Disconnect(CloseCode.SLOW))

    def _stop(self) -> None:
        self._is_closed = True
        self.queue.clear()
        self._unblock()

    def _fail(self, error: BaseException) -> None:
        was_closed, self._is_closed = self._is_closed, True
        self._announce()
        # An OSError means that the peer has gone, which `receive` is about to report as well.
        if not was_closed and not isinstance(error, OSError):
            logger.error("connection %s: a frame cannot be sent", self.id, exc_info=error)
            self._end(Disconnect(CloseCode.INTERNAL))

    def _begin(self) -> None:
        """Start a task for the queued frames, if every frame is sent by a task."""
        if not self._is_direct and self.queue and self._task is None and not self._is_paused:
            self._drain()

    def _drain(self, first: Awaitable[None] | None = None) -> None:
        self._block()
        self._task = asyncio.get_running_loop().create_task(self._run(first), context=self._context)

    async def _run(self, first: Awaitable[None] | None) -> None:
        try:
            if first is not None:
                await first
            while self.queue and not self._is_paused:
                self._progress()
                if self._is_direct or await self._wait_for_capacity():
                    await self._send_next()
        except Exception as error:
            self._fail(error)
        finally:
            self._task = None
        if not self._is_paused:
            _end_warning(self)
            self._unblock()

    async def _send_next(self) -> None:
        frame = self.queue.take()
        await self._send(_message(frame))
        if self._ledger is not None and (token := self._ledger.give(byte_length(frame))):
            await self._send(_message(self.codec.encode(Ping(t=token))))

    async def _wait_for_capacity(self) -> bool:
        """Wait for the transport to drain, or for the client to acknowledge."""
        while transport.buffered_bytes(self._server) > BUFFERED_BYTES:
            await asyncio.sleep(POLL_SECONDS)
        if self._ledger:
            await self._ledger.has_room()
        return bool(self.queue) and not self._is_paused

    def _pause(self) -> None:
        self._is_paused = True
        self._block()

    def _resume(self) -> None:
        self._is_paused = False
        self._unblock()
        if self.queue and self._task is None and not self._is_closed:
            self._drain()

    def _block(self) -> None:
        if self._blocked is None and not self._is_closed:
            self._buffered = transport.buffered_bytes(self._server)
            loop = asyncio.get_running_loop()
            self._blocked = loop.call_later(BLOCKED_SECONDS, self._still_blocked)

    def _still_blocked(self) -> None:
        self._blocked = None
        if transport.buffered_bytes(self._server) < self._buffered:
            self._block()  # the network is slow, but the peer reads
        else:
            self._cut("it accepts nothing")

    def _progress(self) -> None:
        if not self._is_paused:
            self._unblock()
            self._block()

    def _unblock(self) -> None:
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None
        self._announce()

    def _announce(self) -> None:
        """Wake the senders that wait by `until_free`; they look again."""
        if self._senders is not None:
            self._senders.wake()


class _Rest:
    """The rest of a coroutine that was stepped by hand; a task awaits it to continue."""

    def __init__(self, coroutine: Coroutine[Any, None, None], future: Any) -> None:
        self._coroutine = coroutine
        self._future = future

    def __await__(self) -> Generator[Any, None, None]:
        future = self._future
        while True:
            try:
                value = yield future
            except BaseException as error:
                step: Any = (self._coroutine.throw, error)
            else:
                step = (self._coroutine.send, value)
            try:
                future = step[0](step[1])
            except StopIteration:
                return


def _warn(outbox: Outbox) -> None:
    """Tell the log and the traces that a client reads slowly."""
    frames = len(outbox.queue)
    logger.warning("connection %s reads slowly: %d frames wait", outbox.id, frames)
    if outbox.trace is not None:
        outbox.trace.slow(frames, outbox.queue.size)


def _end_warning(outbox: Outbox) -> None:
    """Tell the traces that no frame waits any more, if there was a warning."""
    if outbox._warned and outbox.trace is not None:
        outbox.trace.caught_up()
    outbox._warned = False


def _shortened(reason: str) -> str:
    """Return the part of a reason that a close frame can hold."""
    if len(reason) <= REASON_BYTES // 4:
        return reason
    return reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore")


def _message(frame: str | bytes) -> dict[str, Any]:
    key = "text" if isinstance(frame, str) else "bytes"
    return {"type": "websocket.send", key: frame}
