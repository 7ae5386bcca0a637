"""Resetting a connection whose transport cannot be reached."""

import select
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from realtime.engine.servers.transport import FILES, shut_down

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="the kernel lists no open files")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client that does not read, and the server's end with as much unsent as it can hold."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    server.setblocking(False)
    with closing(client), closing(server):
        with suppress(BlockingIOError):
            while server.send(bytes(65_536)):
                pass
        yield client, server


def scope_of(server: socket.socket) -> dict[str, object]:
    return {"client": server.getpeername(), "server": server.getsockname()}


def is_ended(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def test_the_client_gets_a_reset_while_the_server_still_holds_its_socket(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """A server written in Rust closes it only once Python's garbage was collected."""
    client, server = ends
    shut_down(scope_of(server))
    assert is_ended(client)
    assert is_ended(server)


def test_other_connections_stay(ends: tuple[socket.socket, socket.socket]) -> None:
    client, server = ends
    shut_down(scope_of(server) | {"client": ("127.0.0.1", 1)})
    shut_down({})
    assert not is_ended(client)


def test_no_open_file_is_left_behind(ends: tuple[socket.socket, socket.socket]) -> None:
    """Not of files that are no sockets, nor of other sockets."""
    before = len(list(FILES.iterdir()))
    shut_down(scope_of(ends[1]))
    assert len(list(FILES.iterdir())) == before
