"""The one module that knows servers: what a socket's buffer holds, how to cut it, when all ends.

Daphne's `send` never blocks, so its transport is asked to say when it is full; neither
server can end a socket whose peer has stopped reading other than by aborting its transport;
and of a shutdown Daphne tells nobody, but Twisted's reactor does.
Everything is found by feature; where it is not found, nothing is done.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Intake", "abort", "held", "on_shutdown", "watch"]


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
    if transport is not None:
        _reset(transport.get_extra_info("socket"))
        transport.abort()


def _reset(sock: Any) -> None:
    """Have the kernel drop what a peer with a full window will never take (Twisted does so too)."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def on_shutdown(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have the server wait for `stop()` before it ends, where its reactor runs this loop."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if getattr(reactor, "_asyncioEventloop", None) is not asyncio.get_running_loop():
        return
    from twisted.internet.defer import Deferred

    reactor.addSystemEventTrigger(  # type: ignore[union-attr]
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(stop()))
    )


def _asyncio(send: Any) -> asyncio.WriteTransport | None:
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None


def _twisted(send: Any) -> Any:
    protocol = next(iter(getattr(send, "args", ())), None)
    transport = getattr(protocol, "transport", None)
    return transport if hasattr(transport, "registerProducer") else None


class _Producer:
    """What Twisted calls an IPushProducer."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone; the consumer hears of it by its own disconnect."""
