"""Run several server processes on one socket, and replace them without losing a client."""

import logging
import os
import resource
import shlex
import socket
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from realtime.conf import config
from realtime.serving import listening
from realtime.serving.service import tell_systemd
from realtime.serving.supervisor import Code, Supervisor, Times
from realtime.serving.worker import Program

__all__ = ["Command"]

logger = logging.getLogger("realtime.serve")

HOST, PORT = "127.0.0.1", 8000
OTHER_FILES = 1000
"""Open files of a worker besides its connections."""


class Command(BaseCommand):
    """Opens one socket, and supervises the workers that serve it."""

    help = "Serve the site by several processes on one socket; SIGHUP replaces them one by one."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "application", nargs="?", help="module:name; by default that of ASGI_APPLICATION"
        )
        parser.add_argument(
            "--workers",
            type=_positive,
            default=os.environ.get("WEB_CONCURRENCY") or "1",
            metavar="N",
            help="how many processes; by default WEB_CONCURRENCY, or 1",
        )
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne")
        parser.add_argument(
            "--options", default="", help='options of the server: --options="--ping-interval 30"'
        )
        parser.add_argument("--bind", metavar="HOST", help=f"by default {HOST}")
        parser.add_argument("--port", type=_port, help=f"by default {PORT}; 0 takes a free one")
        parser.add_argument("--unix", type=Path, metavar="PATH", help="a Unix socket")
        parser.add_argument(
            "--unix-mode", type=_mode, default="666", metavar="MODE", help="its permissions (666)"
        )
        parser.add_argument("--fd", type=int, metavar="N", help="an open socket that listens")
        for name, seconds, text in (
            ("start", Times.start, "the longest start of a worker"),
            ("drain", Times.drain, "the time over which a replaced worker closes its connections"),
            ("grace", Times.grace, "the longest end of a worker; then it is killed"),
        ):
            parser.add_argument(
                f"--{name}",
                type=_seconds,
                default=seconds,
                metavar="SECONDS",
                help=f"{text} ({seconds:g})",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute the command; its exit codes are in docs/deploy.md."""
        _log_to_console(options["verbosity"])
        application = options["application"] or _application_of_site()
        server = options["server"]
        if find_spec(server) is None:
            raise CommandError(f"Install {server} first: it is not on this machine.")
        more = _split(options["options"])
        try:
            listener = _listener(options)
        except listening.ListenError as error:
            raise CommandError(str(error)) from error
        _allow_files()
        logger.info("serving at %s", listening.describe(listener))
        times = Times(options["start"], options["drain"], options["grace"])
        with listening.removed_at_end(options["unix"]), _folder_for_numbers() as numbers:
            program = Program(server, application, more, listener, numbers=numbers)
            code = Supervisor(program, options["workers"], times, tell_systemd).run()
        if code != Code.STOPPED:
            raise CommandError(ENDS[code], returncode=code)


ENDS = {
    Code.CANNOT_START: "No worker can start. The lines above say why.",
    Code.CUT_SHORT: "The workers were killed before all clients were told.",
}


@contextmanager
def _folder_for_numbers() -> Iterator[Path | None]:
    """Make the folder in which workers share their numbers; without it, each has its own."""
    try:
        folder = TemporaryDirectory(prefix="realtime-", ignore_cleanup_errors=True)
    except OSError as error:
        logger.warning("metrics show one worker only, as there is no folder to share: %s", error)
        yield None
        return
    with folder as path:
        yield Path(path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("at least 1")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ArgumentTypeError("from 0 to 65535")
    return number


def _mode(text: str) -> int:
    number = int(text, 8)
    if not 0 <= number <= 0o777:
        raise ArgumentTypeError("from 0 to 777")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 86_400:
        raise ArgumentTypeError("from 0 to 86400")
    return number


def _application_of_site() -> str:
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        text = "Set ASGI_APPLICATION, or name the application, such as mysite.asgi:application."
        raise CommandError(text)
    return ":".join(str(path).rsplit(".", 1))


def _split(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise CommandError(f"--options cannot be read: {error}.") from error


def _listener(options: dict[str, Any]) -> socket.socket:
    is_at = options["bind"] is not None or options["port"] is not None
    if sum((is_at, options["unix"] is not None, options["fd"] is not None)) > 1:
        raise CommandError("Use only one of --bind with --port, --unix and --fd.")
    inherited = listening.systemd_socket(listening.first_environment())
    if options["unix"] is not None:
        return listening.listen_on_unix(options["unix"], options["unix_mode"])
    if options["fd"] is not None:
        return listening.inherit(options["fd"])
    if inherited is not None and not is_at:
        return inherited
    port = PORT if options["port"] is None else options["port"]
    return listening.listen_at(options["bind"] or HOST, port)


def _allow_files() -> None:
    """Let workers open a file for each connection, as far as the system allows."""
    needed = config().connections_per_process + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        logger.warning(
            "a worker may open %d files, but CONNECTIONS_PER_PROCESS needs %d: see LimitNOFILE",
            allowed,
            needed,
        )


def _log_to_console(verbosity: int) -> None:
    """Write what happens to the console, unless the site's own LOGGING does."""
    if not logger.hasHandlers():
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    if not logger.isEnabledFor(logging.INFO) and verbosity > 0:
        logger.setLevel(logging.INFO)
