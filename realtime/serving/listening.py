"""The listening socket that all workers share: opened here, or inherited from systemd."""

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "ListenError",
    "describe",
    "first_environment",
    "inherit",
    "listen_at",
    "listen_on_unix",
    "removed_at_end",
    "systemd_socket",
]

BACKLOG = 4096
"""The handshakes that may wait in the kernel, which allows at most `net.core.somaxconn`."""
FIRST_DESCRIPTOR = 3
"""The number of the first socket of systemd (sd_listen_fds(3))."""
PRIVILEGED = 1024


class ListenError(Exception):
    """Nothing can listen there; its text is a sentence that says what to do."""


def listen_at(host: str, port: int) -> socket.socket:
    """Listen at an address and port; port 0 takes a free one."""
    name = host.strip("[]")
    try:
        found = socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _name, where = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ListenError(_refusal_at(host, port, error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        return _listening(listener)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ListenError(_refusal_at(host, port, error)) from error


def _refusal_at(host: str, port: int, error: Exception) -> str:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"Port {port} of {host} is in use. Stop what runs there, or use --port."
        case errno.EACCES if port < PRIVILEGED:
            return (
                f"Port {port} needs a permission that this user lacks. Use a port above 1023"
                " behind a proxy, or let systemd open the socket."
            )
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine. Use --bind."
    reason = getattr(error, "strerror", None) or error
    return f"Cannot listen at {host}, port {port}: {reason}."


def listen_on_unix(path: Path, mode: int) -> socket.socket:
    """Listen on a Unix socket with these permissions; a socket that nobody serves is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_unserved(path)
        listener.bind(str(path))
        path.chmod(mode)
        return _listening(listener)
    except OSError as error:
        listener.close()
        raise ListenError(f"Cannot listen on {path}: {error.strerror or error}.") from error
    except ListenError:
        listener.close()
        raise


def _remove_unserved(path: Path) -> None:
    """Remove the socket of a process that was killed; raise `ListenError` for anything else."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise ListenError(f"{path} exists and is not a socket. Remove it, or use another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # its queue is full, so it is served
            pass
    raise ListenError(f"{path} is in use. Stop what serves it, or use another path.")


@contextmanager
def removed_at_end(path: Path | None) -> Iterator[None]:
    """Remove a Unix socket at the end of a block, unless another one has replaced it meanwhile."""
    made = None if path is None else _identity(path)
    try:
        yield
    finally:
        with suppress(OSError):
            if path is not None and _identity(path) == made:
                path.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what a later file at the same path does not have; it may get the same inode."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_mtime_ns


def inherit(descriptor: int) -> socket.socket:
    """Take over a listening socket by its number."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        reason = error.strerror or error
        text = f"The file descriptor {descriptor} is not a socket: {reason}."
        raise ListenError(text) from error
    is_stream = listener.type == socket.SOCK_STREAM
    if not is_stream or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise ListenError(f"The file descriptor {descriptor} is not a listening stream socket.")
    listener.setblocking(False)
    listener.set_inheritable(False)
    return listener


def first_environment() -> dict[str, str]:
    """Return the environment at the start of the process (Linux): Twisted removes what it reads."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    pairs = (os.fsdecode(line).partition("=") for line in lines)
    return {name: value for name, _equals, value in pairs}


def systemd_socket(environment: Mapping[str, str]) -> socket.socket | None:
    """Take over the socket that systemd has opened for this process, or return None."""
    is_ours = _number(environment, "LISTEN_PID") == os.getpid()
    number = _number(environment, "LISTEN_FDS")
    if not is_ours or number == 0:
        return None
    if number != 1:
        text = f"systemd has passed {number} sockets. Name one ListenStream in the unit."
        raise ListenError(text)
    return inherit(FIRST_DESCRIPTOR)


def _number(environment: Mapping[str, str], name: str) -> int:
    with suppress(ValueError):
        return int(environment.get(name, ""))
    return 0


def _listening(listener: socket.socket) -> socket.socket:
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def describe(listener: socket.socket) -> str:
    """Return where a socket listens, for a person."""
    where = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(where)
    host, port = where[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
