"""Writing straight to the transport: only of known servers, and only while it is safe."""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.engine.connections.outbox import Outbox
from realtime.engine.servers import transport
from realtime.wire.codecs import JSON
from realtime.wire.errors import CloseCode, Disconnect
from realtime.wire.events import Notice
from realtime.wire.packet import Packet, framed


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return self.closing

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        pass


class TcpWire(Wire):
    """A transport whose socket accepts `room` bytes at once."""

    TLS = False

    def __init__(self, room: int = 1_000_000) -> None:
        super().__init__()
        self.room = room
        self.sent = b""
        self._tempDataBuffer: list[bytes] = []

    @property
    def dataBuffer(self) -> bytes:  # noqa: N802
        return self.data

    def writeSomeData(self, data: bytes) -> int | Exception:  # noqa: N802
        if self.room < 0:
            return ConnectionResetError()
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)


class Autobahn:
    """The part of Daphne's protocol that is used."""

    STATE_OPEN = 3

    def __init__(self) -> None:
        self.transport: Wire = Wire()
        self.state = self.STATE_OPEN
        self.send_queue: list[bytes] = []
        self._perMessageCompress: object = None
        self.sent: list[Any] = []

    async def handle_reply(self, protocol: object, message: dict[str, Any]) -> None:
        self.sent.append(message["text"])

    @property
    def asgi_send(self) -> Any:
        return partial(self.handle_reply, self)


class Sansio:
    """The part of uvicorn's protocol that is used."""

    def __init__(self) -> None:
        self.transport = Wire()
        self.conn = SimpleNamespace(extensions=[])
        self.close_sent = self.disconnected = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.sent: list[Any] = []

    async def asgi_send(self, message: dict[str, Any]) -> None:
        await self.writable.wait()
        self.sent.append(message["text"])


Protocol = Autobahn | Sansio
SERVERS = [Autobahn, Sansio]


@pytest.fixture(params=SERVERS)
async def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param()  # type: ignore[no-any-return]


def outbox_on(protocol: Protocol) -> Outbox:
    ends: list[Disconnect] = []
    outbox = Outbox("n.1", protocol.asgi_send, JSON, ends.append)
    outbox.open()
    return outbox


async def test_a_packet_is_written_as_bytes(protocol: Protocol) -> None:
    """One write for all its frames, and `send` is not called."""
    outbox_on(protocol).post(Packet(["a", "b"]))
    assert protocol.transport.data == framed("a") + framed("b")
    assert protocol.sent == []


async def test_replies_and_events_keep_their_order(protocol: Protocol) -> None:
    """They share the one way out."""
    outbox = outbox_on(protocol)
    outbox.post(Packet(["a"]))
    reply = Notice(level="info", text="b")
    outbox.reply(reply)
    outbox.post(Packet(["c"]))
    expected = [framed("a"), framed(JSON.encode(reply)), framed("c")]
    assert protocol.transport.data == b"".join(expected)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Autobahn, lambda one: setattr(one, "state", 2)),
        (Autobahn, lambda one: one.send_queue.append(b"")),
        (Sansio, lambda one: setattr(one, "close_sent", True)),
        (Sansio, lambda one: setattr(one, "disconnected", True)),
        (Sansio, lambda one: setattr(one.transport, "closing", True)),
    ],
)
async def test_send_is_used_unless_the_connection_is_simply_open(kind: type, change: Any) -> None:
    """The server knows what to do with a message that cannot be written, and in what order."""
    protocol = kind()
    outbox = outbox_on(protocol)
    change(protocol)
    outbox.post(Packet(["a", "b"]))
    assert protocol.transport.data == b""
    assert protocol.sent == ["a", "b"]


async def test_a_full_transport_makes_frames_wait_in_order() -> None:
    """If uvicorn's buffer is full, its `send` suspends, and the outbox queues frames."""
    protocol = Sansio()
    outbox = outbox_on(protocol)
    protocol.writable.clear()
    outbox.post(Packet(["a", "b"]))
    outbox.post(Packet(["c"]))
    assert (protocol.transport.data, protocol.sent) == (b"", [])
    protocol.writable.set()
    await asyncio.sleep(0)
    outbox.post(Packet(["d"]))
    while len(protocol.sent) < 4:
        await asyncio.sleep(0)
    assert protocol.sent == ["a", "b", "c", "d"]
    outbox.close()


async def test_a_paused_producer_makes_frames_wait_in_order() -> None:
    """Daphne's transport reports when it is full, and when it has drained."""
    protocol = Autobahn()
    outbox = outbox_on(protocol)
    protocol.transport.producer.pauseProducing()
    outbox.post(Packet(["a", "b"]))
    assert protocol.transport.data == b""
    protocol.transport.producer.resumeProducing()
    outbox.post(Packet(["c"]))
    while len(protocol.sent) < 3:
        await asyncio.sleep(0)
    assert protocol.sent == ["a", "b", "c"]
    outbox.close()


@pytest.mark.parametrize("room", [0, 1, 3, 5, 1000, -1])
async def test_bytes_that_the_socket_does_not_accept_wait_in_the_transport(room: int) -> None:
    """And what comes later waits behind it, also where the connection turns out to be lost."""
    protocol = Autobahn()
    protocol.transport = wire = TcpWire(room)
    outbox = outbox_on(protocol)
    outbox.post(Packet(["a", "b"]))
    if wire.data:
        wire.room = 1000  # it would be accepted, but out of order
    outbox.post(Packet(["c"]))
    everything = b"".join(framed(frame) for frame in "abc")
    assert wire.sent + wire.data == everything
    assert len(wire.sent) == min(max(room, 0), len(everything))


class Wrapper(Wire):
    """The object with which Twisted encrypts: it forwards attributes to the socket inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = TcpWire()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_a_socket_that_encrypts_itself_is_not_written_past() -> None:
    """What goes over it is not what is written."""
    protocol = Autobahn()
    protocol.transport = wire = TcpWire()
    wire.TLS = True
    outbox_on(protocol).post(Packet(["a"]))
    assert (wire.sent, wire.data) == (b"", framed("a"))


async def test_a_wrapped_socket_is_not_written_past() -> None:
    """Although it has the attributes of a socket."""
    protocol = Autobahn()
    protocol.transport = wrapper = Wrapper()
    outbox_on(protocol).post(Packet(["a"]))
    assert (wrapper.inner.sent, wrapper.data) == (b"", framed("a"))


async def test_a_transport_that_raises_ends_only_its_own_connection() -> None:
    """The other members of the round get their frames."""
    protocol = Autobahn()
    protocol.transport.write = None  # type: ignore[assignment]
    ends: list[Disconnect] = []
    outbox = Outbox("n.1", protocol.asgi_send, JSON, ends.append)
    outbox.open()
    outbox.post(Packet(["a"]))
    outbox.send("b")
    assert [end.code for end in ends] == [CloseCode.INTERNAL]
    assert protocol.sent == []


async def test_the_server_sends_frames_that_must_be_compressed() -> None:
    """What was agreed in the handshake is for the server to keep."""
    autobahn, sansio = Autobahn(), Sansio()
    autobahn._perMessageCompress = object()
    sansio.conn.extensions.append(object())
    assert transport.raw_writer(autobahn.asgi_send) is None
    assert transport.raw_writer(sansio.asgi_send) is None


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Autobahn, "send_queue"), (Autobahn, "_perMessageCompress"), (Sansio, "writable")],
)
async def test_an_unfamiliar_version_gets_each_frame_by_send(kind: type, name: str) -> None:
    """A later release may have changed: then nothing is known of it."""
    protocol = kind()
    delattr(protocol, name)
    assert transport.raw_writer(protocol.asgi_send) is None


async def test_an_unknown_server_gets_each_frame_by_send() -> None:
    """Any ASGI server will do."""

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError

    assert transport.raw_writer(send) is None


@pytest.mark.parametrize(
    ("protocol", "is_accepted"),
    [
        (SimpleNamespace(STATE_CONNECTING=1, state=1), False),  # Daphne
        (SimpleNamespace(STATE_CONNECTING=1, state=3), True),
    ],
)
def test_daphne_says_whether_the_handshake_is_accepted(protocol: Any, is_accepted: bool) -> None:
    assert transport.is_accepted(partial(print, protocol)) is is_accepted


def test_uvicorn_says_whether_the_handshake_is_accepted() -> None:
    class Protocol:
        def send(self, message: Any) -> None:
            """The `send` of a server."""

    protocol: Any = Protocol()
    assert transport.is_accepted(protocol.send)  # an unknown server
    protocol.handshake_complete = False
    assert not transport.is_accepted(protocol.send)
    protocol.handshake_complete = True
    assert transport.is_accepted(protocol.send)
    protocol.handshake_started_event = asyncio.Event()
    assert not transport.is_accepted(protocol.send)
    protocol.handshake_started_event.set()
    assert transport.is_accepted(protocol.send)
