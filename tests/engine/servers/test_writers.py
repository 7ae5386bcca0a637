"""Parts of a response, written straight to the transport: only while it is begun and open."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.engine.servers import transport
from realtime.engine.servers.writers import BodyWriter
from tests.engine.servers.test_transport import TcpWire, Wire


class Request:
    """The part of Daphne's request that is used."""

    def __init__(self) -> None:
        self.transport: Wire = TcpWire()
        self.chunked = self.startedWriting = 1
        self.finished = 0
        self._disconnected = False

    async def handle_reply(self, protocol: object, message: dict[str, Any]) -> None:
        raise NotImplementedError

    @property
    def asgi_send(self) -> Any:
        return partial(self.handle_reply, self)


class Cycle:
    """The part of uvicorn's response that is used."""

    def __init__(self) -> None:
        self.transport = Wire()
        self.scope = {"http_version": "1.1"}
        self.flow = SimpleNamespace(write_paused=False)
        self.response_started = True
        self.response_complete = self.disconnected = False

    async def asgi_send(self, message: dict[str, Any]) -> None:
        raise NotImplementedError


def writer_of(response: Request | Cycle) -> BodyWriter:
    writer = transport.body_writer(response.asgi_send)
    assert writer is not None
    return writer


@pytest.mark.parametrize("kind", [Request, Cycle])
def test_a_part_is_one_chunk(kind: type) -> None:
    """Its size in hexadecimal digits comes first; a chunk of no bytes would end the body."""
    response = kind()
    writer = writer_of(response)
    assert writer.is_ready
    writer.write(b"x" * 26)
    writer.write(b"")
    written = response.transport.data + getattr(response.transport, "sent", b"")
    assert written == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_what_the_socket_does_not_accept_waits_in_the_transport() -> None:
    """And what comes later waits behind it."""
    request = Request()
    request.transport = wire = TcpWire(4)
    writer = writer_of(request)
    writer.write(b"a")
    writer.write(b"b")
    assert (wire.sent, wire.data) == (b"1\r\na", b"\r\n1\r\nb\r\n")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Request, lambda one: setattr(one, "startedWriting", 0)),
        (Request, lambda one: setattr(one, "chunked", 0)),
        (Request, lambda one: setattr(one, "finished", 1)),
        (Request, lambda one: setattr(one, "_disconnected", True)),
        (Cycle, lambda one: one.scope.update(http_version="1.0")),
        (Cycle, lambda one: setattr(one.flow, "write_paused", True)),
        (Cycle, lambda one: setattr(one, "response_started", False)),
        (Cycle, lambda one: setattr(one, "response_complete", True)),
        (Cycle, lambda one: setattr(one, "disconnected", True)),
        (Cycle, lambda one: setattr(one.transport, "closing", True)),
    ],
)
def test_a_response_that_is_not_simply_open_is_not_written_past(kind: type, change: Any) -> None:
    """The server knows what to do with it: a body without chunks has no sizes, for example."""
    response = kind()
    change(response)
    assert not writer_of(response).is_ready


@pytest.mark.parametrize(("kind", "name"), [(Request, "chunked"), (Cycle, "flow")])
def test_an_unfamiliar_version_gets_each_part_by_send(kind: type, name: str) -> None:
    """A later release may have changed: then nothing is known of it."""
    response = kind()
    delattr(response, name)
    assert transport.body_writer(response.asgi_send) is None


async def send(message: dict[str, Any]) -> None:
    raise NotImplementedError


def test_an_unknown_server_gets_each_part_by_send() -> None:
    """Its `send` may be a function without any object."""
    assert transport.body_writer(send) is None
