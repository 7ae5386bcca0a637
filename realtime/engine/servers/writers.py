"""Writers to the transports of servers, past their code that frames a message for each client.

Each one knows the objects of one server, as far as `transport.py` has found them.
"""

from collections.abc import Callable
from typing import Any, Protocol

from ...wire.packet import Packet

__all__ = [
    "BodyWriter",
    "DaphneBody",
    "DaphneWriter",
    "UvicornBody",
    "UvicornWriter",
    "Write",
]

Write = Callable[[Packet], bool]


class BodyWriter(Protocol):
    """A writer of parts of the body of a response."""

    @property
    def is_ready(self) -> bool:
        """Whether the response is open, and its client reads."""

    def write(self, data: bytes) -> None:
        """Write some bytes as one chunk; call it only while `is_ready`."""


class _TwistedWriter:
    """Writes to a transport of Twisted.

    If no data waits, it writes to the socket at once, as asyncio does. Twisted would first have the
    selector report that the socket is writable, which costs more than the write.
    """

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._socket = transport if _is_plain_socket(transport) else None

    def _put(self, raw: bytes) -> None:
        socket = self._socket
        if socket is None or socket.dataBuffer or socket._tempDataBuffer:
            self._transport.write(raw)
            return
        sent = socket.writeSomeData(raw)
        written = sent if isinstance(sent, int) else 0  # an error: the reactor finds it too
        if written < len(raw):
            self._transport.write(raw[written:])


class DaphneWriter(_TwistedWriter):
    """Writes past autobahn, which keeps only statistics of an outgoing message."""

    __slots__ = ("_open", "_protocol")

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol
        self._open = protocol.STATE_OPEN

    def write(self, packet: Packet) -> bool:
        """Write frames of WebSocket; return False if `send` has to be used."""
        if self._protocol.state != self._open or self._protocol.send_queue:
            return False
        self._put(packet.raw)
        return True


class UvicornWriter:
    """Writes past `websockets`, which keeps no state of an outgoing message."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def write(self, packet: Packet) -> bool:
        """Write frames of WebSocket; return False if `send` has to be used."""
        protocol = self._protocol
        if protocol.close_sent or protocol.disconnected or protocol.transport.is_closing():
            return False
        if not protocol.writable.is_set():
            return False
        protocol.transport.write(packet.raw)
        return True


class DaphneBody(_TwistedWriter):
    """Writes past Twisted's request, which counts the bytes for its log."""

    NEEDED = ("chunked", "_disconnected", "finished", "startedWriting", "transport")

    __slots__ = ("_request",)

    def __init__(self, request: Any) -> None:
        super().__init__(request.transport)
        self._request = request

    @property
    def is_ready(self) -> bool:
        """Whether the head is written, and the response goes on."""
        request = self._request
        is_over = request.finished or request._disconnected
        return bool(request.startedWriting and request.chunked and not is_over)

    def write(self, data: bytes) -> None:
        """Write one chunk."""
        self._put(_chunk(data))


class UvicornBody:
    """Writes past h11 and httptools, which keep no state of a chunk."""

    NEEDED = ("disconnected", "flow", "response_complete", "response_started", "scope", "transport")

    __slots__ = ("_cycle", "_is_chunked")

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._is_chunked = cycle.scope.get("http_version") == "1.1"

    @property
    def is_ready(self) -> bool:
        """Whether the head is written, and the response goes on."""
        cycle = self._cycle
        is_over = cycle.response_complete or cycle.disconnected or cycle.transport.is_closing()
        is_open = cycle.response_started and self._is_chunked
        return bool(is_open and not is_over and not cycle.flow.write_paused)

    def write(self, data: bytes) -> None:
        """Write one chunk."""
        self._cycle.transport.write(_chunk(data))


def _is_plain_socket(transport: Any) -> bool:
    # By the class: the object that encrypts wraps a socket, and forwards all other attributes.
    if not all(hasattr(type(transport), name) for name in ("TLS", "dataBuffer", "writeSomeData")):
        return False
    return hasattr(transport, "_tempDataBuffer") and not transport.TLS


def _chunk(data: bytes) -> bytes:
    """Return bytes as a chunk of a body (RFC 9112, section 7.1); none are no chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
