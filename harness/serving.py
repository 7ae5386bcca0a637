"""`manage.py realtime_serve` under test."""

import asyncio
import re
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

from harness.services import Process, free_port, wait_until
from harness.site import ROOT, environment

__all__ = ["Serve"]

ACTIVATE = 'exec 3<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
"""Makes a socket descriptor 3, and announces it to the program that takes the shell's place."""


class Serve(Process):
    """The command, with some options; it serves at a free port unless they say otherwise."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *options: str,
        port: int | None = None,
        listener: socket.socket | None = None,
        **env: str,
    ) -> None:
        self.port = free_port() if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/ws"
        at = ["--port", str(self.port)] if port is None else []
        command = [sys.executable, "manage.py", "realtime_serve", *at, *options]
        more: dict[str, Any] = {}
        if listener is not None:  # as systemd starts it
            number = str(listener.fileno())
            command = ["/bin/bash", "-c", ACTIVATE, number, *command]
            more["pass_fds"] = [listener.fileno()]
        log = folder / f"serve-{uuid.uuid4().hex[:8]}.log"
        super().__init__(command, log, cwd=ROOT, env=environment(database, **env), **more)

    def until(self, text: str, times: int = 1) -> None:
        """Wait until the log has a text so often, or the command has ended."""

        def is_there() -> bool:
            return len(re.findall(text, self.log())) >= times

        wait_until(lambda: is_there() or not self.is_running(), 120, text)
        assert is_there(), self.log()

    def workers(self, what: str = "starts") -> list[int]:
        return [int(pid) for pid in re.findall(rf"worker (\d+) {what}", self.log())]

    async def rolled(self) -> None:
        """Replace all workers."""
        self.signal(signal.SIGHUP)
        await asyncio.to_thread(self.until, "all workers are replaced\n")
