"""The connection whose command runs in a thread: it reads nothing until the command ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["command_of", "is_command_of"]

_connection: ContextVar[str] = ContextVar("realtime.command_of", default="")


@contextmanager
def command_of(connection: str) -> Iterator[None]:
    """Say in the block that this thread runs a command of a connection."""
    token = _connection.set(connection)
    try:
        yield
    finally:
        _connection.reset(token)


def is_command_of(connection: str) -> bool:
    """Return whether this thread runs a command of a connection."""
    return _connection.get() == connection
