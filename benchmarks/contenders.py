"""Who is measured: this package and its peers, each started as its own documentation says."""

import importlib.util
import json
import shutil
import string
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from harness.services import Postgres, Process, Redis, answers, create_database, free_port
from harness.site import ROOT, UNLIMITED, environment, migrate, run

__all__ = ["CONTENDERS", "Contender", "Ground", "Stand"]

PEERS = Path(__file__).parent / "peers"
NODE = PEERS / "node"
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
UVICORN = ["--ws", "websockets-sansio", "--no-access-log", "--log-level", "warning"]


@dataclass
class Ground:
    """What the servers stand on: a folder, a Redis, and a PostgreSQL that syncs every commit."""

    folder: Path
    redis: Redis
    postgres: Postgres
    templates: dict[str, str] = field(default_factory=dict)

    def drop(self, url: str) -> None:
        """Remove what `database` made: a run makes hundreds."""
        name = url.rpartition("/")[2]
        if url.startswith("sqlite"):
            for file in self.folder.glob(f"{name}*"):
                file.unlink()
        elif url:
            with psycopg.connect(self.postgres.url, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def database(self, kind: str, fill: Callable[[str], Any], name: str) -> str:
        """A fresh database of a kind, "postgres" or "sqlite", copied from one that `fill` made."""
        key = f"{kind}_{name}"
        if key not in self.templates:
            self.templates[key] = self._empty(kind, f"template_{key}")
            fill(self.templates[key])
        copy = f"{key}_{uuid.uuid4().hex[:8]}"
        if kind == "postgres":
            return create_database(self.postgres.url, copy, f"template_{key}")
        shutil.copy(self.folder / f"template_{key}.sqlite3", self.folder / f"{copy}.sqlite3")
        return f"sqlite:///{self.folder}/{copy}.sqlite3"

    def _empty(self, kind: str, name: str) -> str:
        if kind == "postgres":
            return create_database(self.postgres.url, name)
        return f"sqlite:///{self.folder}/{name}.sqlite3"


@dataclass(frozen=True)
class Stand:
    """Servers that run: where they are spoken to, and on what database."""

    processes: list[Process]
    bases: list[str]
    database: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    is_gentle: bool = False
    """Whether its workers outlive a master that is killed."""

    @property
    def pids(self) -> list[int]:
        """The processes to meter."""
        return [process.popen.pid for process in self.processes if process.popen]

    def stop(self) -> None:
        """End them all."""
        for process in self.processes:
            if self.is_gentle:
                process.terminate()
            else:
                process.kill()


@dataclass(frozen=True)
class Contender:
    """A server to measure: `start(ground, processes, rooms)` makes it run."""

    start: Callable[..., Stand]
    server: str = ""
    peer: str = ""
    """What it is called on the command line; empty for ours."""
    lacks: Callable[[], str] = lambda: ""
    """Why it cannot be measured on this machine, if so."""


def _ours(kind: str, database: str = "postgres", site: str = "project") -> Callable[..., Stand]:
    settings = "harness.settings" if site == "project" else f"{site}.settings"

    def fill(url: str, slugs: list[str]) -> None:
        migrate(url, slugs)
        env = environment(url, DJANGO_SETTINGS_MODULE=settings)
        run("-m", "django", "migrate", "--run-syncdb", "--verbosity", "0", env=env)

    def start(ground: Ground, processes: int = 1, rooms: int = 10) -> Stand:
        slugs = ["general", *(f"room-{number}" for number in range(rooms))]
        url = ground.database(database, lambda url: fill(url, slugs), f"{site}{rooms}")
        env = environment(
            url,
            ground.redis.url if database == "postgres" else "",
            DJANGO_SETTINGS_MODULE=settings,
            REALTIME_TEST_SETTINGS=json.dumps(UNLIMITED),
            REALTIME_TEST_PREFIX=uuid.uuid4().hex[:8],
        )
        with ExitStack() as started:
            stands = []
            for _ in range(processes):
                stands.append(_asgi(ground, kind, f"{site}.asgi", env, url))
                started.callback(stands[-1].stop)
            started.pop_all()
        return Stand(
            [process for stand in stands for process in stand.processes],
            [base for stand in stands for base in stand.bases],
            url,
            env,
        )

    return start


def _stock(kind: str, layer: str, database: str = "postgres") -> Callable[..., Stand]:
    module = "benchmarks.peers.stock"

    def fill(url: str) -> None:
        env = environment(url, DJANGO_SETTINGS_MODULE=f"{module}.settings")
        run("-m", "django", "migrate", "--verbosity", "0", env=env)

    def start(ground: Ground, processes: int = 1, rooms: int = 10) -> Stand:
        url = ground.database(database, fill, "stock")
        env = environment(
            url,
            ground.redis.url,
            DJANGO_SETTINGS_MODULE=f"{module}.settings",
            STOCK_LAYER=layer,
        )
        return _asgi(ground, kind, f"{module}.asgi", env, url)

    return start


def _asgi(ground: Ground, kind: str, module: str, env: dict[str, str], database: str) -> Stand:
    port = free_port()
    options = {
        "daphne": ["-b", "127.0.0.1", "-p", str(port), "-v", "0"],
        "uvicorn": ["--host", "127.0.0.1", "--port", str(port), *UVICORN],
    }[kind]
    command = [sys.executable, "-m", kind, *options, f"{module}:application"]
    return _stand(ground, command, port, env, database)


def _program(*command: str) -> Callable[..., Stand]:
    def start(ground: Ground, processes: int = 1, rooms: int = 10) -> Stand:
        port = free_port()
        env = environment("", ground.redis.url, PORT=str(port))
        return _stand(ground, [part.format(port=port) for part in command], port, env)

    return start


def _node(script: str) -> Callable[..., Stand]:
    def start(ground: Ground, processes: int = 1, rooms: int = 10) -> Stand:
        if not (NODE / "node_modules").exists():
            install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
            subprocess.run(install, cwd=NODE, check=True, capture_output=True)
        return _program("node", str(NODE / script))(ground, processes, rooms)

    return start


def _nchan(ground: Ground, processes: int = 1, rooms: int = 10) -> Stand:
    port = free_port()
    folder = ground.folder / f"nchan-{port}"
    folder.mkdir()
    template = string.Template((PEERS / "nchan.conf").read_text())
    config = folder / "nginx.conf"
    config.write_text(
        template.substitute(
            port=port, redis_url=ground.redis.url, folder=folder, module=NCHAN.parent
        )
    )
    command = ["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    return replace(_stand(ground, command, port, environment("")), is_gentle=True)


def _stand(
    ground: Ground, command: list[str], port: int, env: dict[str, str], database: str = ""
) -> Stand:
    process = Process(command, ground.folder / f"server-{port}.log", cwd=ROOT, env=env)
    process.spawn()
    try:
        process.wait_ready(lambda: answers(port))
    except BaseException:
        process.kill()
        raise
    return Stand([process], [f"ws://127.0.0.1:{port}"], database, env)


def _lacks_module(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) else f"{name} is not installed"


def _lacks_node() -> str:
    return "" if shutil.which("node") and shutil.which("npm") else "there is no Node here"


def _lacks_nchan() -> str:
    if not shutil.which("nginx"):
        return "there is no nginx here"
    return "" if NCHAN.exists() else "nginx has no nchan module here"


_SOCKETIO = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", *UVICORN]

CONTENDERS = {
    "daphne": Contender(_ours("daphne"), "daphne"),
    "daphne-sqlite": Contender(_ours("daphne", "sqlite"), "daphne"),
    "uvicorn": Contender(_ours("uvicorn"), "uvicorn"),
    "daphne-uncounted": Contender(_ours("daphne", site="benchmarks.uncounted"), "daphne"),
    "daphne-topics": Contender(_ours("daphne", site="benchmarks.site"), "daphne"),
    "stock-daphne": Contender(_stock("daphne", "core"), "daphne", "stock"),
    "stock-pubsub-daphne": Contender(_stock("daphne", "pubsub"), "daphne", "stock"),
    "stock-daphne-sqlite": Contender(_stock("daphne", "memory", "sqlite"), "daphne", "stock"),
    "stock-uvicorn": Contender(_stock("uvicorn", "core"), "uvicorn", "stock"),
    "stock-pubsub-uvicorn": Contender(_stock("uvicorn", "pubsub"), "uvicorn", "stock"),
    "python-socketio": Contender(
        _program(sys.executable, *_SOCKETIO, "benchmarks.peers.socketio_server:app"),
        peer="python-socketio",
        lacks=_lacks_module("socketio"),
    ),
    "websockets": Contender(
        _program(sys.executable, "-m", "benchmarks.peers.websockets_server"),
        peer="websockets",
    ),
    "ws": Contender(_node("ws.mjs"), peer="ws", lacks=_lacks_node),
    "socketio": Contender(_node("socketio.mjs"), peer="socketio", lacks=_lacks_node),
    "nchan": Contender(_nchan, peer="nchan", lacks=_lacks_nchan),
}
