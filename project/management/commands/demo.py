"""`manage.py demo`: run the demo chat with one command."""

import errno
import os
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.utils.crypto import get_random_string

from project.seed import seed

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104


class Command(BaseCommand):
    """Migrates, adds content once, prints the URL, and becomes Daphne."""

    help = "Runs the demo chat: makes the database, some rooms and an admin, and starts Daphne."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        parser.add_argument(
            "--reset-password", action="store_true", help="give admin a new password and print it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the demo; does not return."""
        host = options["host"]
        port = free_port(host, options["port"])
        call_command("migrate", verbosity=0, interactive=False)
        seed()
        password = admin_password(reset=options["reset_password"])
        self.announce(address(host, port), password)
        allow(host)
        serve(host, port)

    def announce(self, url: str, password: str | None) -> None:
        """Print the URL of the chat, and the password if there is a new one."""
        self.stdout.write(f"Chat:  {self.style.SUCCESS(url)}")
        self.stdout.write(f"Admin: {url}admin/")
        if password:
            self.stdout.write(f"       user admin, password {password} (shown only now)")
        else:
            self.stdout.write("       user admin; --reset-password makes a new password")
        self.stdout.write("Stop with Ctrl+C.")
        self.stdout.flush()


def free_port(host: str, port: int) -> int:
    """Return the port if it is free. Raises CommandError, which says what to do."""
    if not 0 <= port <= 65535:
        raise CommandError(f"{port} is not a port.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, _, _, where = found[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            return int(probe.getsockname()[1])
    except UnicodeError:
        raise CommandError(f"{host!r} is not a host.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = f"Stop what runs there, or try --port {(port + 1) % 65536}."
            raise CommandError(f"Port {port} is in use. {hint}") from None
        raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror or error}") from None


def admin_password(*, reset: bool) -> str | None:
    """Create the superuser `admin` if there is none; return a new password, or None."""
    users = get_user_model()._default_manager
    if not reset and users.filter(is_superuser=True).exists():
        return None
    password = get_random_string(16)
    admin, _ = users.get_or_create(username="admin")
    admin.is_active = admin.is_staff = admin.is_superuser = True
    admin.set_password(password)
    admin.save()
    return password


def address(host: str, port: int) -> str:
    """Return the URL of the server for a browser on this machine."""
    name = "localhost" if host in EVERYWHERE else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def allow(host: str) -> None:
    """Add the address of the server to ALLOWED_HOSTS."""
    if host not in EVERYWHERE:
        name = f"[{host}]" if ":" in host else host
        os.environ["ALLOWED_HOSTS"] = f"{os.environ.get('ALLOWED_HOSTS', '')},{name}"


def serve(host: str, port: int) -> None:
    """Replace this process by Daphne."""
    daphne = [sys.executable, "-m", "daphne", "-v", "0", "-b", host, "-p", str(port)]
    os.execv(sys.executable, [*daphne, "project.asgi:application"])  # noqa: S606
