"""The one module that knows servers: what a socket's buffer holds, how to cut it, when all ends.

Daphne's `send` never blocks, so its transport is asked to say when it is full; neither
server can end a socket whose peer has stopped reading other than by aborting its transport;
both make the frame of a message anew for each socket, so what goes to many is written past them;
and of a shutdown neither tells before the sockets close: Twisted's reactor does, and a signal.
Everything is found by feature; where it is not found, nothing is done.
"""

import asyncio
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

__all__ = [
    "Intake",
    "Write",
    "abort",
    "end_pings",
    "held",
    "line",
    "on_shutdown",
    "wait_for_goodbye",
    "watch",
    "widen",
]

Write = Callable[[bytes], bool]
BACKLOG = 4096
"""Handshakes that may wait in the kernel; more than `net.core.somaxconn` it does not take."""

GOODBYE_SECONDS = 3
"""Of which up to one may be missing."""


def watch(send: Any, pause: Callable[[], None], resume: Callable[[], None]) -> None:
    """Call `pause` when the transport under an ASGI `send` is full, `resume` when it drained."""
    transport = _twisted(send)
    if transport is not None:
        transport.unregisterProducer()  # the HTTP channel that began the handshake
        transport.registerProducer(_Producer(pause, resume), True)


def held(send: Any) -> int:
    """How many bytes the transport under an ASGI `send` has yet to write, as far as it tells."""
    twisted = _twisted(send)
    if twisted is not None:
        waiting = len(getattr(twisted, "dataBuffer", b"")) - getattr(twisted, "offset", 0)
        return int(waiting + getattr(twisted, "_tempDataLen", 0))
    transport = _asyncio(send)
    return transport.get_write_buffer_size() if transport is not None else 0


def line(send: Any) -> Write | None:
    """Find a way to write whole frames as bytes to the transport under an open ASGI `send`.

    None where none is known, or where the frames would have to be compressed. What is
    returned writes, or says that it cannot now and that `send` has to be asked instead.
    """
    protocol = _autobahn(send)
    if protocol is not None:
        return _DaphneLine(protocol).write if protocol._perMessageCompress is None else None
    protocol = _sansio(send)
    if protocol is not None:
        return _UvicornLine(protocol).write if not protocol.conn.extensions else None
    return None


class Intake:
    """How much of a client's input may wait for its handler.

    Daphne queues without bound what comes while one is busy; others stop reading by themselves.
    """

    FULL, DRAINED = 64, 8

    def __init__(self, receive: Any, send: Any) -> None:
        queue = getattr(receive, "__self__", None)
        self._queue = queue if isinstance(queue, asyncio.Queue) else None
        self._transport = _twisted(send)
        self._is_stopped = False

    def check(self) -> None:
        """Stop reading when too much waits, and go on when that is done."""
        waiting = self._queue.qsize() if self._queue is not None else 0
        if waiting > self.FULL:
            self.stop()
        elif self._is_stopped and waiting < self.DRAINED:
            self._is_stopped = False
            self._transport.resumeProducing()

    def stop(self) -> None:
        """Let the client wait at its own end until the next `check`."""
        if self._transport is not None and not self._is_stopped:
            self._is_stopped = True
            self._transport.pauseProducing()


def abort(send: Any) -> None:
    """Drop the connection under an ASGI `send` at once, unsent data and all."""
    transport = _twisted(send)
    if transport is not None:
        transport.abortConnection()
        return
    transport = _asyncio(send)
    if transport is None:
        return
    # One that has closed with nothing left to send has given its number back, maybe to another.
    if not transport.is_closing() or transport.get_write_buffer_size():
        with suppress(OSError):
            _reset(transport.get_extra_info("socket"))
        transport.abort()


def end_pings(send: Any) -> None:
    """Have the server ping no more: who is ended for silence needs no second watch.

    For a connection that is otherwise idle, pings and what answers them are most of its cost.
    """
    protocol = _daphne(send)
    if hasattr(protocol, "_sendAutoPing"):
        protocol._sendAutoPing = _send_nothing
    protocol = _sansio(send)
    if hasattr(protocol, "stop_keepalive"):
        protocol.stop_keepalive()


def _send_nothing() -> None:
    pass


def wait_for_goodbye(send: Any) -> None:
    """Give a peer time to answer a close before the connection is dropped, unsent data and all.

    Autobahn gives it a second, but that ends with the clock's: txaio truncates the time.
    """
    protocol = _daphne(send)
    seconds = getattr(protocol, "closeHandshakeTimeout", 0)
    if 0 < seconds < GOODBYE_SECONDS:
        protocol.closeHandshakeTimeout = GOODBYE_SECONDS


def _reset(sock: Any) -> None:
    """Have the kernel drop what a peer with a full window will never take (Twisted does so too)."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def widen() -> None:
    """Let many handshakes wait in the kernel, where a reactor is about to run.

    Twisted's ports have room for 50. When all clients come back at once, the others would wait for
    seconds and more until TCP tries again.
    """
    reactor = sys.modules.get("twisted.internet.reactor")
    if hasattr(reactor, "callWhenRunning"):
        reactor.callWhenRunning(_widen, reactor)  # type: ignore[union-attr]


def _widen(reactor: Any) -> None:
    for port in reactor.getReaders():
        if hasattr(port, "backlog") and hasattr(port, "socket"):
            port.socket.listen(max(BACKLOG, port.backlog))


def on_shutdown(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have the server wait for `stop()` before it ends, where it runs this loop."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if getattr(reactor, "_asyncioEventloop", None) is asyncio.get_running_loop():
        _before_reactor(reactor, stop)
    elif threading.current_thread() is threading.main_thread():
        _before_handlers(stop)


def _before_reactor(reactor: Any, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    from twisted.internet.defer import Deferred

    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(stop()))
    )


def _before_handlers(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Come before uvicorn's own handlers of signals: they close every socket with 1012 at once."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Task[None] | None = None
    is_passed_on = False

    def pass_on(theirs: Callable[[int, Any], None], number: int) -> None:
        nonlocal is_passed_on
        is_passed_on = True
        theirs(number, None)

    def begin(theirs: Callable[[int, Any], None], number: int) -> None:
        nonlocal stopping
        if stopping is not None:  # somebody insists
            pass_on(theirs, number)
            return
        stopping = loop.create_task(stop())
        stopping.add_done_callback(lambda _: None if is_passed_on else pass_on(theirs, number))

    for number in (signal.SIGTERM, signal.SIGINT):
        theirs: Any = signal.getsignal(number)
        server = getattr(theirs, "__self__", None)
        if all(hasattr(server, name) for name in ("force_exit", "handle_exit", "should_exit")):
            act = partial(begin, theirs, number)
            signal.signal(number, lambda *_, act=act: loop.call_soon_threadsafe(act))


def _daphne(send: Any) -> Any:
    # Its `send` is a method of the server with the protocol bound to it.
    return next(iter(getattr(send, "args", ())), None)


def _autobahn(send: Any) -> Any:
    """Daphne's protocol, if it is built as the ones that were tried."""
    protocol = _daphne(send)
    needed = ("_perMessageCompress", "send_queue", "state", "STATE_OPEN", "transport")
    return protocol if all(hasattr(protocol, name) for name in needed) else None


def _sansio(send: Any) -> Any:
    """Uvicorn's protocol on the I/O-free half of `websockets`, if it is built as those tried."""
    protocol: Any = getattr(send, "__self__", None)
    needed = ("close_sent", "conn", "disconnected", "transport", "writable")
    if not all(hasattr(protocol, name) for name in needed):
        return None
    return protocol if hasattr(protocol.conn, "extensions") else None


def _asyncio(send: Any) -> Any:
    # By what it can do: uvloop's transports are no instances of asyncio's classes.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport if hasattr(transport, "get_write_buffer_size") else None


def _twisted(send: Any) -> Any:
    transport = getattr(_daphne(send), "transport", None)
    return transport if hasattr(transport, "registerProducer") else None


class _Producer:
    """What Twisted calls an IPushProducer."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone; the consumer hears of it by its own disconnect."""


class _DaphneLine:
    """Past autobahn, which keeps no other state of an outgoing message than statistics.

    Where nothing waits, the socket is tried at once, as asyncio does: Twisted would first ask the
    selector to say when it is writable, which costs more than the writing.
    """

    __slots__ = ("_open", "_protocol", "_socket", "_transport")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._open = protocol.STATE_OPEN
        self._transport = protocol.transport
        self._socket = self._transport if _is_plain_socket(self._transport) else None

    def write(self, raw: bytes) -> bool:
        if self._protocol.state != self._open or self._protocol.send_queue:
            return False
        sent = self._write_now(raw)
        if sent < len(raw):
            self._transport.write(raw[sent:])
        return True

    def _write_now(self, raw: bytes) -> int:
        socket = self._socket
        if socket is None or socket.dataBuffer or socket._tempDataBuffer:
            return 0
        sent = socket.writeSomeData(raw)
        return sent if isinstance(sent, int) else 0  # the reactor will find that it is lost


def _is_plain_socket(transport: Any) -> bool:
    # Asked of the class: what encrypts wraps a socket, and passes on what is asked of the object.
    if not all(hasattr(type(transport), name) for name in ("TLS", "dataBuffer", "writeSomeData")):
        return False
    return hasattr(transport, "_tempDataBuffer") and not transport.TLS


class _UvicornLine:
    """Past `websockets`, which keeps no state of an outgoing message at all."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, raw: bytes) -> bool:
        protocol = self._protocol
        if protocol.close_sent or protocol.disconnected or protocol.transport.is_closing():
            return False
        if not protocol.writable.is_set():
            return False
        protocol.transport.write(raw)
        return True
