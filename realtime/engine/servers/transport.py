"""The one module that knows the sockets of servers: their buffers, limits, pauses and aborts.

Its functions accept a server's own `send`, which `server_send` finds under middleware. The `send`
of Daphne never blocks, so a producer is registered that reports a full transport. A socket whose
peer has stopped reading can only be aborted. All servers frame a message anew for each socket, so
frames for many clients are written straight to the transports.
Everything is found by feature; if a feature is not found, nothing is done.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ...logs import get_logger
from .wrappers import Wrappers, name_of
from .writers import BodyWriter, DaphneBody, DaphneWriter, UvicornBody, UvicornWriter, Write

__all__ = [
    "SEND",
    "abort",
    "body_writer",
    "buffered_bytes",
    "end_pings",
    "extend_close_timeout",
    "has_early_input",
    "intercept",
    "is_accepted",
    "is_direct",
    "is_known",
    "lacks_backpressure",
    "limit_messages",
    "on_backpressure",
    "pause",
    "raw_writer",
    "refuse_compression",
    "release",
    "resume",
    "server_send",
    "shut_down",
]

logger = get_logger("realtime.transport")

CLOSE_TIMEOUT_SECONDS = 3
"""Autobahn truncates times to whole seconds, so up to one second may be lost."""
LIMITS = (
    ("", "maxFramePayloadSize"),  # Daphne
    ("conn", "max_message_size"),  # uvicorn, websockets-sansio
    ("", "max_size"),  # uvicorn, websockets
    ("buffer", "max_length"),  # uvicorn, wsproto; Hypercorn
)
"""The places of the size of the largest message, as a path from a server's protocol."""
EARLY = (
    "data",  # Daphne
    "conn.reader.buffer",  # uvicorn, websockets-sansio
    "frames",
    "reader._buffer",  # uvicorn, websockets
    "send.__self__.send.__self__.reader._buffer",  # Hypercorn
)
"""The places of frames that a server has not passed on."""
OFFERS = (
    ("conn", "extensions"),  # uvicorn, websockets-sansio: what it has agreed to already
    ("", "available_extensions"),  # uvicorn, websockets
    ("conn.handshake._initiating_request", "extensions"),  # uvicorn, wsproto
    ("handshake", "extensions"),  # Hypercorn
)
"""The places of the compression that a client offers, until the handshake is accepted."""
EXTENSIONS = "Sec-WebSocket-Extensions"
SEND = "realtime.send"
"""The key of a scope that names the `send` below all middleware, where that is no server's.

The object of such a `send` has a `transport` with the methods of one of asyncio, and in `below` the
`send` of the server that it uses. Its method `write_packet` is a `Write`.
"""
FILES = Path("/proc/self/fd")
wrappers = Wrappers()


def server_send(scope: dict[str, Any], send: Any) -> Any:
    """Return the server's own `send` if middleware has wrapped it; else return `send`."""
    if (given := scope.get(SEND)) is not None:
        return given
    if is_known(send):
        return send
    protocol = wrappers.find(send, lambda one: _is_protocol_of(scope, one))
    if protocol is not None:
        _log_once(send, "it is not the server's own `send`")
        return _send_of(protocol)
    if lacks_backpressure(scope, send):
        _log_once(send, "its server is not known, so clients have to acknowledge what they read")
    elif "asgi" in scope:
        _log_once(send, "the transport of its server cannot be reached")
    return send


def is_known(send: Any) -> bool:
    """Return whether a `send` is a server's own, so that its transport can be found."""
    return _twisted(send) is not None or _asyncio(send) is not None


def is_accepted(send: Any) -> bool:
    """Return whether the handshake of a `send` is accepted; True if its server is not known."""
    daphne = _daphne(send)
    if hasattr(daphne, "STATE_CONNECTING"):
        return bool(daphne.state != daphne.STATE_CONNECTING)
    protocol = getattr(send, "__self__", None)
    event = getattr(protocol, "handshake_started_event", None)  # uvicorn, websockets
    if event is not None:
        return bool(event.is_set())
    return bool(getattr(protocol, "handshake_complete", True))  # uvicorn, the others


def is_direct(send: Any) -> bool:
    """Return whether a `send` may be stepped by hand, in any task."""
    below = getattr(getattr(send, "__self__", None), "below", send)
    return is_known(below) and _hypercorn(below) is None


def lacks_backpressure(scope: dict[str, Any], send: Any) -> bool:
    """Return whether the server never reports a slow client, so that clients must acknowledge.

    Granian's `send` waits for the client. Only tests have a scope without `asgi`.
    """
    owner = type(getattr(send, "__self__", None))
    return "asgi" in scope and not is_known(send) and not owner.__module__.startswith("granian.")


_logged: set[tuple[str, str]] = set()


def _log_once(send: Any, why: str) -> None:
    """Log once in a process why frames cannot be written straight to the transport."""
    name = name_of(send)
    if (name, why) not in _logged:
        _logged.add((name, why))
        logger.warning("connections with the `send` %s have no fast path: %s", name, why)


def on_backpressure(send: Any, pause: Callable[[], None], resume: Callable[[], None]) -> None:
    """Call `pause` when the transport of a `send` is full, and `resume` when it has drained."""
    transport = _twisted(send)
    if transport is not None:
        transport.unregisterProducer()  # the HTTP channel that began the handshake
        transport.registerProducer(_Producer(pause, resume), True)


def buffered_bytes(send: Any) -> int:
    """Return the bytes that the transport of a `send` has yet to write, as far as is known."""
    twisted = _twisted(send)
    if twisted is not None:
        waiting = len(getattr(twisted, "dataBuffer", b"")) - getattr(twisted, "offset", 0)
        return int(waiting + getattr(twisted, "_tempDataLen", 0))
    transport = _asyncio(send)
    return transport.get_write_buffer_size() if transport is not None else 0


def raw_writer(send: Any) -> Write | None:
    """Return a function that writes whole frames as bytes to the transport of an open `send`.

    The result is None if there is no way to do that, or if frames have to be compressed. The
    function returns False if it cannot write now, and `send` has to be used instead.
    """
    protocol = _autobahn(send)
    if protocol is not None:
        return DaphneWriter(protocol).write if protocol._perMessageCompress is None else None
    protocol = _sansio(send)
    if protocol is not None:
        return UvicornWriter(protocol).write if not protocol.conn.extensions else None
    return getattr(getattr(send, "__self__", None), "write_packet", None)  # see `SEND`


def body_writer(send: Any) -> BodyWriter | None:
    """Return a writer of parts of the body of a chunked response, straight to the transport.

    The result is None if there is no way to do that.
    """
    response = _daphne(send)
    if all(hasattr(response, name) for name in DaphneBody.NEEDED):
        return DaphneBody(response)
    response = getattr(send, "__self__", None)
    if all(hasattr(response, name) for name in UvicornBody.NEEDED):
        return UvicornBody(response)
    return None


def pause(send: Any) -> None:
    """Stop reading from the client of a `send`."""
    if (transport := _twisted(send)) is not None:
        transport.pauseProducing()
    elif (transport := _asyncio(send)) is not None and not transport.is_closing():
        transport.pause_reading()


def resume(send: Any) -> None:
    """Resume reading from the client, unless the server itself has stopped."""
    if (transport := _twisted(send)) is not None:
        transport.resumeProducing()
        return
    transport = _asyncio(send)
    if transport is not None and not (transport.is_closing() or _is_paused_by_server(send)):
        transport.resume_reading()


def intercept(send: Any, intake: Callable[[bytes], bytes]) -> Callable[[bytes], None] | None:
    """Pass the bytes of the client to `intake`; the server parses only what it returns.

    Returns a function that receives bytes as the server does. It returns None if that is not
    possible: the server is not known, or the transport carries more than one WebSocket. `release`
    undoes it.
    """
    protocol, name = _receiver(send)
    receive = getattr(protocol, name, None)
    if receive is None:
        return None

    def received(data: bytes) -> None:
        if passed := intake(data):
            receive(passed)

    setattr(protocol, name, received)
    _rebind_protocol(send, protocol)
    return received


def release(send: Any) -> None:
    """Let the server receive the bytes of the client itself again."""
    protocol, name = _receiver(send)
    getattr(protocol, "__dict__", {}).pop(name, None)


def _receiver(send: Any) -> tuple[Any, str]:
    """Return the object to which a transport passes bytes, and the name of the method."""
    if _twisted(send) is not None:
        return _daphne(send), "dataReceived"
    transport = _asyncio(send)
    if hasattr(transport, "get_protocol") and _is_websocket_only(send):
        return transport.get_protocol(), "data_received"
    return None, ""


def _rebind_protocol(send: Any, protocol: Any) -> None:
    transport = _asyncio(send)
    if hasattr(transport, "set_protocol"):  # uvloop keeps the bound method of the protocol
        transport.set_protocol(protocol)


def has_early_input(send: Any) -> bool:
    """Return whether the client has sent frames before the end of the handshake (see RFC 6455)."""
    protocol = _daphne(send) or getattr(send, "__self__", None)
    return any(bool(_path(protocol, path)) for path in EARLY)


def limit_messages(send: Any, limit: int) -> None:
    """Have the server itself refuse larger messages, if it has such a limit.

    Daphne's limit of messages also applies to those that it sends, so only that of frames is set.
    """
    for owner, name in LIMITS:
        target = _path(_daphne(send) or getattr(send, "__self__", None), owner)
        current = getattr(target, name, None)
        if isinstance(current, int) and (current == 0 or current > limit):
            setattr(target, name, limit)


def refuse_compression(send: Any) -> bool:
    """Have the server negotiate no compression; return whether that is certain.

    It is called before the handshake is accepted. A few bytes may become a thousand times as many,
    and the server unpacks them before they can be counted. Daphne never negotiates compression.
    """
    protocol = getattr(send, "__self__", None)
    is_known = _twisted(send) is not None
    for path, name in OFFERS:
        owner = _path(protocol, path)
        if owner is not None and hasattr(owner, name):
            is_known = True
            offers = getattr(owner, name)
            if isinstance(offers, list):
                offers.clear()
    headers = _path(protocol, "response.headers")
    if headers is not None and EXTENSIONS in headers:
        del headers[EXTENSIONS]
    return is_known


def abort(send: Any) -> bool:
    """Drop the connection of a `send` at once, with all unsent data.

    Returns False if only the end of the application can do that.
    """
    transport = _twisted(send)
    if transport is not None:
        transport.abortConnection()
        return True
    transport = _asyncio(send)
    if transport is None:
        return False
    # A closed socket without unsent data has released its file number, which another may have now.
    if not transport.is_closing() or transport.get_write_buffer_size():
        with suppress(OSError):
            _reset(transport.get_extra_info("socket"))
        transport.abort()
    return True


def shut_down(scope: dict[str, Any]) -> None:
    """Reset the connection of a scope, if the server's transport cannot be reached.

    The socket is found by its two addresses. The server then notices that the connection has ended.
    """
    for file in FILES.iterdir() if FILES.is_dir() else ():
        with suppress(OSError), _copy(int(file.name)) as sock:
            if _is_between(sock, scope.get("client"), scope.get("server")):
                sock.shutdown(socket.SHUT_RDWR)
                _disconnect(sock)


def _copy(number: int) -> socket.socket:
    """Return a separate socket for an open file number, because the file may be replaced."""
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def _disconnect(sock: socket.socket) -> None:
    """Have the kernel reset the connection now, even if the server still holds its socket.

    A server in another language closes the socket only when Python's garbage collector has found
    its objects, which may take minutes. Connecting to AF_UNSPEC resets a socket (connect(2)), but
    Python's own `connect` accepts no such address.
    """
    ctypes.CDLL(None).connect(sock.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)


def _is_between(sock: socket.socket, *addresses: Any) -> bool:
    ends = (sock.getpeername(), sock.getsockname())
    return all(
        isinstance(end, tuple) and address and list(map(str, end[:2])) == list(map(str, address))
        for end, address in zip(ends, addresses, strict=True)
    )


def end_pings(send: Any) -> None:
    """Stop the pings of the server, because the heartbeat of the package replaces them.

    Pings and pongs are most of the cost of an idle connection.
    """
    protocol = _daphne(send)
    if hasattr(protocol, "_sendAutoPing"):
        protocol._sendAutoPing = _send_nothing
    protocol = _sansio(send)
    if hasattr(protocol, "stop_keepalive"):
        protocol.stop_keepalive()


def _send_nothing() -> None:
    pass


def extend_close_timeout(send: Any) -> None:
    """Give a peer time to answer a close, before the connection is dropped with its unsent data.

    Autobahn gives it one second, which may be none: txaio truncates the time to whole seconds.
    """
    protocol = _daphne(send)
    seconds = getattr(protocol, "closeHandshakeTimeout", 0)
    if 0 < seconds < CLOSE_TIMEOUT_SECONDS:
        protocol.closeHandshakeTimeout = CLOSE_TIMEOUT_SECONDS


def _reset(sock: Any) -> None:
    """Have the kernel drop data that a peer with a full window never reads, as Twisted does."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _daphne(send: Any) -> Any:
    # Its `send` is a partial of a method of the server, with the protocol as argument.
    return next(iter(getattr(send, "args", ())), None)


def _autobahn(send: Any) -> Any:
    """Return Daphne's protocol, if it has the parts of the tested versions."""
    protocol = _daphne(send)
    needed = ("_perMessageCompress", "send_queue", "state", "STATE_OPEN", "transport")
    return protocol if all(hasattr(protocol, name) for name in needed) else None


def _sansio(send: Any) -> Any:
    """Return Uvicorn's protocol on the I/O-free half of `websockets`, if it is as tested."""
    protocol: Any = getattr(send, "__self__", None)
    needed = ("close_sent", "conn", "disconnected", "transport", "writable")
    if not all(hasattr(protocol, name) for name in needed):
        return None
    return protocol if hasattr(protocol.conn, "extensions") else None


def _asyncio(send: Any) -> Any:
    # By its methods: transports of uvloop are no instances of asyncio's classes.
    transport = _hypercorn(send) or getattr(getattr(send, "__self__", None), "transport", None)
    return transport if hasattr(transport, "get_write_buffer_size") else None


def _hypercorn(send: Any) -> Any:
    """Return the transport of Hypercorn's connection; with HTTP/2, several sockets share it."""
    if getattr(send, "__name__", "") != "app_send":
        return None
    return _path(send, "__self__.send.__self__.send.__self__.writer.transport")


def _is_websocket_only(send: Any) -> bool:
    scope = getattr(getattr(send, "__self__", None), "scope", {})
    return bool(scope.get("http_version", "1.1") == "1.1")


def _is_paused_by_server(send: Any) -> bool:
    protocol = getattr(send, "__self__", None)
    paths = ("read_paused", "reader._paused", "send.__self__.send.__self__.reader._paused")
    return any(bool(_path(protocol, path)) for path in paths)


def _is_protocol_of(scope: dict[str, Any], one: Any) -> bool:
    """Return whether an object is the server's protocol of the connection of a scope."""
    if not any(all(hasattr(one, name) for name in names) for names in PROTOCOLS):
        return False
    return is_known(_send_of(one)) and _key(_headers(one)) == _key(scope.get("headers", ()))


PROTOCOLS = (
    ("application_queue", "clean_headers", "handle_reply", "transport"),  # Daphne
    ("connections", "run_asgi", "scope", "transport"),  # uvicorn
    ("app_send", "handshake", "scope", "stream_id"),  # Hypercorn
)
"""The attributes by which the protocols of servers are recognised."""


def _send_of(protocol: Any) -> Any:
    if hasattr(protocol, "clean_headers"):
        return partial(protocol.server.handle_reply, protocol)
    names = ("app_send", "asgi_send", "send")
    return next(getattr(protocol, name) for name in names if hasattr(protocol, name))


def _headers(protocol: Any) -> Any:
    return getattr(protocol, "clean_headers", None) or protocol.scope["headers"]


def _key(headers: Any) -> Any:
    """Return the key of a handshake, which a client makes up for each connection."""
    named = dict(headers)
    return named.get(b"sec-websocket-key", named)


def _path(owner: Any, path: str) -> Any:
    """Return the attribute at a path, or None."""
    for name in path.split(".") if path else ():
        owner = getattr(owner, name, None)
    return owner


def _twisted(send: Any) -> Any:
    transport = getattr(_daphne(send), "transport", None)
    return transport if hasattr(transport, "registerProducer") else None


class _Producer:
    """An `IPushProducer` of Twisted."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:  # noqa: N802
        """Do nothing: the consumer is notified by its own `websocket.disconnect`."""
