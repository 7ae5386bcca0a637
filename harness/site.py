"""The demo project under test: a database, a Redis, and server processes."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from harness.client.chatter import Chatter
from harness.client.topic_chatter import TopicChatter
from harness.database import Database, TopicDatabase
from harness.fork_server import ForkServer
from harness.services import (
    Postgres,
    Process,
    Redis,
    Services,
    answers,
    create_database,
    free_port,
)

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["general", *(f"room-{number}" for number in range(10))]
UNLIMITED = {
    "MESSAGES_PER_SECOND": 100_000,
    "MESSAGES_BURST": 100_000,
    "COMMANDS_PER_SECOND": 100_000,
    "COMMANDS_BURST": 100_000,
    "JOINS_PER_SECOND": 100_000,
    "SUBSCRIBES_PER_SECOND": 100_000,
    "COMMANDS_PER_FRAME": 10_000,
    "RECEIVE_BYTES_PER_SECOND": 1_000_000_000,
    "RECEIVE_BYTES_BURST": 1_000_000_000,
    "ROOMS_PER_MINUTE": 100_000,
    "ACTS_PER_MINUTE": 100_000,
    "MESSAGE_BYTES_PER_HOUR": 2**40,
    "REPORTS_PER_MINUTE": 100_000,
    "CONNECTIONS_PER_USER": 100_000,
    "CONNECTIONS_PER_ADDRESS": 100_000,
}
_SEED = """
import sys, django
django.setup()
from django.core.management import call_command
from realtime.models import Room
call_command("migrate", verbosity=0)
for slug in sys.argv[1:]:
    Room.objects.create(slug=slug, title=slug)
"""


def environment(database_url: str, redis_url: str = "", **more: str) -> dict[str, str]:
    """Return the environment of a process of the site, without test variables of this shell."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REALTIME_", "PYTEST_"))
    }
    own |= {
        "DJANGO_SETTINGS_MODULE": "harness.settings",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }
    return own | more


def run(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path = ROOT,
    seconds: float = 120,
    forks: ForkServer | None = None,
) -> str:
    """Run Python with `arguments` and return its output; a failure shows the output too."""
    if forks:
        done = forks.run(arguments, env=env, cwd=cwd, seconds=seconds)
    else:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=env,
            cwd=cwd,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        output = f"{done.stdout}{done.stderr}"
        raise RuntimeError(f"python {arguments} ended with {done.returncode}:\n{output}")
    return done.stdout


def migrate(
    database_url: str,
    rooms: Sequence[str] = ROOMS,
    root: Path = ROOT,
    forks: ForkServer | None = None,
) -> None:
    """Create or update the tables, and create some public rooms."""
    run("-c", _SEED, *rooms, env=environment(database_url), cwd=root, forks=forks)


class Server(Process):
    """A process of the site, under "daphne", "uvicorn" or "uvloop" (uvicorn on uvloop).

    "daphne-debug" and "uvicorn-debug" log at DEBUG. "websockets" and "wsproto" are uvicorn with its
    other WebSocket implementations; "hypercorn" and "granian" have two worker processes, which
    cannot run in a fork.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str],
        kind: str = "daphne",
        application: str = "project.asgi:application",
        options: Sequence[str] = (),
        root: Path = ROOT,
        forks: ForkServer | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/ws"
        super().__init__(
            [*_command(kind, self.port), *options, application],
            folder / f"{kind}-{self.port}.log",
            None if kind in {"hypercorn", "granian"} else forks,
            cwd=root,
            env=env,
        )

    def start(self) -> None:
        self.spawn()
        self.wait_ready(self.answers)

    def answers(self) -> bool:
        return answers(self.port)


def _command(kind: str, port: int) -> list[str]:
    kind, _, level = kind.partition("-")
    python, address = [sys.executable, "-m"], f"127.0.0.1:{port}"
    match kind:
        case "daphne":
            command = [*python, "daphne", "-b", "127.0.0.1", "-p", str(port)]
            return [*command, "-v", "3"] if level else command
        case "hypercorn":
            return [*python, "hypercorn", "-b", address, "-w", "2"]
        case "granian":
            command = [*python, "granian", "--interface", "asgi", "--workers", "2"]
            return [*command, "--host", "127.0.0.1", "--port", str(port)]
    command = [*python, "uvicorn", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop" if kind == "uvloop" else "asyncio"]
    command += ["--ws", kind if kind in {"websockets", "wsproto"} else "websockets-sansio"]
    return [*command, "--log-level", level] if level else [*command, "--no-access-log"]


class Site:
    """A migrated database with the rooms of `ROOMS`, and the servers started on it."""

    postgres: Postgres | None = None
    """Its own PostgreSQL server, if any."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis: Redis | str,
        env: Mapping[str, str],
        *,
        in_topics: bool = False,
    ) -> None:
        self.folder = folder
        self.database = (TopicDatabase if in_topics else Database)(database_url)
        self.client: type[Chatter] = TopicChatter if in_topics else Chatter
        """The class of the clients that speak in the rooms, or in topics of the same names."""
        self.redis = redis if isinstance(redis, Redis) else None
        redis_url = redis.url if isinstance(redis, Redis) else redis
        self.env = environment(database_url, redis_url, **env)
        self.root = ROOT
        """The folder of the code that the next servers run."""
        self.forks: ForkServer | None = None
        """Starts the next servers and programs, if it is set."""
        self.servers: list[Server] = []

    def start(
        self, *kinds: str, application: str = "project.asgi:application", **env: str
    ) -> list[Server]:
        """Start one server of each kind in parallel, and wait until they answer."""
        own = {**self.env, **env}
        return self.add(
            [
                Server(self.folder, own, kind, application, root=self.root, forks=self.forks)
                for kind in kinds
            ]
        )

    def add(self, servers: list[Server]) -> list[Server]:
        """Start servers in parallel, and wait until they answer."""
        self.servers += servers
        for server in servers:
            server.spawn()
        for server in servers:
            server.wait_ready(server.answers)
        return servers

    @property
    def urls(self) -> list[str]:
        return [server.ws for server in self.servers]

    def run(self, *arguments: str) -> str:
        """Run Python on the database and Redis of the site."""
        return run(*arguments, env=self.env, forks=self.forks)

    def stop(self) -> None:
        for server in self.servers:
            server.kill()
            server.show_log()


class Demo(Process):
    """`manage.py demo` with its own SQLite file and no other settings."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.ws = f"ws://127.0.0.1:{self.port}/ws"
        self.database = Database(f"sqlite:///{folder / f'demo-{self.port}.sqlite3'}")
        env = environment(
            self.database.url,
            DJANGO_SETTINGS_MODULE="project.settings",
            SECRET_KEY="only for tests",
        )
        command = [sys.executable, "manage.py", "demo", "--port", str(self.port)]
        super().__init__(command, folder / f"demo-{self.port}.log", cwd=ROOT, env=env)

    def start(self) -> None:
        self.spawn()
        self.wait_ready(lambda: answers(self.port))


class Sites:
    """Makes sites from the services of the session; each has its own database."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._templates: dict[str, str] = {}
        self._file: Path | None = None

    def make(
        self,
        stack: ExitStack,
        *,
        database: str = "postgres",
        layer: str = "pubsub",
        servers: tuple[str, ...] = ("daphne",),
        own_redis: bool = False,
        keeps_data: bool = False,
        own_postgres: bool = False,
        database_url: str = "",
        settings: Mapping[str, Any] = UNLIMITED,
        urls: str = "project.urls",
        root: Path = ROOT,
        in_topics: bool = False,
    ) -> Site:
        """Start a site that ends with `stack`; `layer` is one of those in `harness/settings.py`.

        With `own_redis` or `own_postgres` the test may stop that server; with `keeps_data` the
        Redis keeps its data. The database of a `database_url` is already migrated. The servers run
        the code in `root`. With `in_topics`, clients speak in topics instead of rooms.
        """
        redis: Redis | str = ""
        if own_redis:
            redis = self.services.own_redis(keeps_data=keeps_data)
            stack.callback(redis.stop)
        elif layer != "memory":
            redis = self.services.redis_url()
        env = {
            "REALTIME_TEST_LAYER": layer,
            "REALTIME_TEST_URLS": urls,
            "REALTIME_TEST_PREFIX": uuid.uuid4().hex[:8],
            "REALTIME_TEST_SETTINGS": msgspec.json.encode(settings).decode(),
            "REALTIME_TEST_TOPICS": "1" if in_topics else "",
        }
        postgres = self.services.own_postgres() if own_postgres else None
        if postgres is not None:
            stack.callback(postgres.resume)
        url = database_url or (
            self._new_postgres(postgres.url) if postgres else self.database_url(database)
        )
        site = Site(self.services.folder, url, redis, env, in_topics=in_topics)
        site.postgres = postgres
        site.root = root
        site.forks = self.services.forks
        stack.callback(site.stop)
        site.start(*servers)
        return site

    def database_url(self, kind: str) -> str:
        """Return the URL of a new, migrated database: "postgres" or "sqlite"."""
        if kind == "postgres":
            return self._new_postgres(self.services.postgres_url())
        return self._new_file()

    def _new_postgres(self, server: str) -> str:
        if server not in self._templates:
            template = self.services.new_name()
            migrate(create_database(server, template), forks=self.services.forks)
            self._templates[server] = template
        return create_database(server, self.services.new_name(), self._templates[server])

    def _new_file(self) -> str:
        if self._file is None:
            file = self.services.folder / "template.sqlite3"
            migrate(f"sqlite:///{file}", forks=self.services.forks)
            self._file = file
        copy = self.services.folder / f"{uuid.uuid4().hex}.sqlite3"
        shutil.copy(self._file, copy)
        return f"sqlite:///{copy}"


Factory = Callable[..., Site]
