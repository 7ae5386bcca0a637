"""Uvicorn on the shared socket."""

import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import uvicorn
import uvicorn.main

from .supervised import Supervised

__all__ = ["serve"]

OPTIONS = ("--log-level", "warning", "--no-proxy-headers", "--timeout-graceful-shutdown", "10")
"""The options that differ from uvicorn's defaults, as in docs/deploy.md."""
SOCKETS = ("--ws", "websockets-sansio", "--ws-per-message-deflate", "false")
"""The fastest of its WebSocket implementations."""


def serve(
    application: str, options: Sequence[str], listener: socket.socket, supervised: Supervised
) -> None:
    """Run uvicorn until it is stopped.

    Its command line knows a descriptor (`--fd`), but takes any for a Unix socket, and so leaves out
    TCP_NODELAY. So its command line makes our server, which gets the socket itself.
    """
    module: Any = sys.modules["uvicorn.main"]
    module.Server = partial(SharedServer, listener, supervised)
    arguments = [*OPTIONS, *SOCKETS, *options, "--workers", "1", application]
    uvicorn.main(arguments, prog_name="uvicorn")


class SharedServer(uvicorn.Server):
    """Uvicorn on a socket that is open already."""

    def __init__(
        self, listener: socket.socket, supervised: Supervised, config: uvicorn.Config
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._supervised = supervised

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        await super().startup([self._listener])
        self._supervised.run(self)

    def stop_accepting(self) -> None:
        """Close this process's share of the listening socket."""
        for server in self.servers:
            server.close()
        self._listener.close()

    def is_busy(self) -> bool:
        """Return False: uvicorn itself waits for its pages."""
        return False
