"""Daphne on the shared socket."""

import socket
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from daphne.cli import CommandLineInterface
from daphne.server import Server
from twisted.internet import reactor
from twisted.internet.unix import Port

from .supervised import Supervised

__all__ = ["serve"]

OPTIONS = ("-v", "0")
"""The option that differs from Daphne's defaults: no access log."""


def serve(
    application: str, options: Sequence[str], listener: socket.socket, supervised: Supervised
) -> None:
    """Run Daphne until it is stopped."""
    interface = CommandLineInterface()
    interface.server_class = partial(SharedServer, listener, supervised)
    interface.run([*OPTIONS, *options, "--fd", str(listener.fileno()), application])


class SharedServer(Server):  # type: ignore[misc]
    """Daphne without endpoints of its own: those for a descriptor cannot be Unix sockets."""

    def __init__(self, listener: socket.socket, supervised: Supervised, **options: Any) -> None:
        super().__init__(**options)
        self._listener = listener
        self._supervised = supervised
        self._port: Any = None

    def run(self) -> None:
        """Run until the reactor is stopped."""
        self.endpoints: list[str] = []
        cast(Any, reactor).callLater(0, self._accept)  # in the loop, once it runs
        super().run()

    def _accept(self) -> None:
        self._port = self._adopt()
        cast(Any, reactor).addSystemEventTrigger("before", "shutdown", self.stop_accepting)
        self._supervised.run(self)

    def _adopt(self) -> Any:
        number, family = self._listener.fileno(), self._listener.family
        if family != socket.AF_UNIX:
            return cast(Any, reactor).adoptStreamPort(number, family, self.http_factory)
        # As `adoptStreamPort` does, which would open the socket to all users of the machine.
        port: Any = cast(Any, Port)._fromListeningDescriptor(reactor, number, self.http_factory)
        port.mode = _mode_of(self._listener)
        port.startListening()
        return port

    def stop_accepting(self) -> None:
        """Close this process's share of the listening socket.

        Twisted would shut a Unix socket down, and remove its file, which the other workers need.
        """
        if self._listener.fileno() >= 0:
            self._listener.close()
            self._port.stopReading()
            self._port.socket.close()

    def is_busy(self) -> bool:
        """Whether an application runs: its connection is a page, as the sockets are closed."""
        running = [details.get("application_instance") for details in self.connections.values()]
        return any(one is not None and not one.done() for one in running)


def _mode_of(listener: socket.socket) -> int:
    """Return the permissions of a Unix socket; those without a file have none."""
    path = listener.getsockname()
    is_file = bool(path) and isinstance(path, str)
    return stat.S_IMODE(Path(path).stat().st_mode) if is_file else 0
