"""The shared socket: opened, inherited, or refused with a sentence that says what to do."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from realtime.serving import listening
from realtime.serving.listening import ListenError


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_free_port_is_taken(stack: ExitStack) -> None:
    listener = stack.enter_context(listening.listen_at("127.0.0.1", 0))
    stack.enter_context(socket.create_connection(listener.getsockname()))
    stack.enter_context(listener.accept()[0])
    assert not listener.getblocking()
    assert listening.describe(listener).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_may_have_brackets(stack: ExitStack, host: str) -> None:
    listener = stack.enter_context(listening.listen_at(host, 0))
    assert listener.family == socket.AF_INET6
    assert listening.describe(listener).startswith("http://[::1]:")


def test_a_port_in_use_is_refused(stack: ExitStack) -> None:
    taken = stack.enter_context(listening.listen_at("127.0.0.1", 0))
    with pytest.raises(ListenError, match=r"is in use\. Stop what runs there, or use --port"):
        listening.listen_at("127.0.0.1", taken.getsockname()[1])


def test_a_port_without_permission_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as root, for whom there is no such port."""

    def bind(self: socket.socket, where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket", type("Socket", (socket.socket,), {"bind": bind}))
    with pytest.raises(ListenError, match="needs a permission"):
        listening.listen_at("127.0.0.1", 80)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "a" * 300])
def test_a_foreign_address_is_refused(host: str) -> None:
    with pytest.raises(ListenError):
        listening.listen_at(host, 0)


def test_a_unix_socket_has_its_permissions(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = stack.enter_context(listening.listen_on_unix(path, 0o660))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert listening.describe(listener) == str(path)


def test_a_unix_socket_left_behind_is_replaced(stack: ExitStack, tmp_path: Path) -> None:
    """By a process that was killed."""
    path = tmp_path / "socket"
    listening.listen_on_unix(path, 0o666).close()
    assert path.is_socket()
    stack.enter_context(listening.listen_on_unix(path, 0o666))
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(str(path))


def test_a_unix_socket_is_removed_at_the_end_by_its_owner(stack: ExitStack, tmp_path: Path) -> None:
    """The next supervisor may begin while the workers of this one drain."""
    path = tmp_path / "socket"
    for is_replaced in (False, True):
        first = listening.listen_on_unix(path, 0o666)
        with listening.removed_at_end(path):
            first.close()
            if is_replaced:
                stack.enter_context(listening.listen_on_unix(path, 0o666))
        assert path.exists() is is_replaced


def test_a_unix_socket_in_use_stays(stack: ExitStack, tmp_path: Path) -> None:
    """Also if its queue is full."""
    path = tmp_path / "socket"
    listener = stack.enter_context(listening.listen_on_unix(path, 0o666))
    listener.listen(0)
    for _ in range(2):
        with pytest.raises(ListenError, match="is in use"):
            listening.listen_on_unix(path, 0o666)
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        client.connect_ex(str(path))
    assert path.is_socket()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ListenError, match="is not a socket"):
        listening.listen_on_unix(path, 0o666)
    assert path.read_text() == "mine"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="No such file or directory"):
        listening.listen_on_unix(tmp_path / "missing" / "socket", 0o666)


def test_a_listening_socket_is_inherited(stack: ExitStack) -> None:
    original = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    number = os.dup(original.fileno())
    listener = stack.enter_context(listening.inherit(number))
    assert listener.getsockname() == original.getsockname()
    assert not os.get_inheritable(number)


def test_other_descriptors_are_refused(stack: ExitStack) -> None:
    with (
        Path(os.devnull).open() as file,
        pytest.raises(ListenError, match="is not a socket"),
    ):
        listening.inherit(file.fileno())
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        other = stack.enter_context(socket.socket(socket.AF_INET, kind))
        with pytest.raises(ListenError, match="is not a listening stream socket"):
            listening.inherit(other.fileno())
        assert other.fileno() > 0
    with pytest.raises(ListenError):
        listening.inherit(10_000)


@pytest.mark.parametrize("process", ["1", "", "x"])
def test_a_socket_for_another_process_is_ignored(process: str) -> None:
    assert listening.systemd_socket({"LISTEN_PID": process, "LISTEN_FDS": "1"}) is None


def test_the_first_environment_has_what_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Twisted removes the variables of systemd when it is imported."""
    monkeypatch.delenv("PATH")
    assert "PATH" in listening.first_environment()


def test_several_sockets_of_systemd_are_refused() -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
    with pytest.raises(ListenError, match="systemd has passed 2 sockets"):
        listening.systemd_socket(environment)
