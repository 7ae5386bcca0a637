"""Rounds of a case: the entries in turn, A B A B, so that what drifts drifts for all."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from threading import Timer
from typing import Any

import psycopg

from harness.database import Database
from harness.services import Postgres, Redis, find_postgres, find_redis, temporary_folder
from harness.site import run

from .cases import Case, Entry
from .contenders import CONTENDERS, Ground, Stand
from .meters import Reading, redis_work

__all__ = ["Results", "Settings", "ground", "measure"]

WAL_FILES = 40
LOAD_SECONDS = 300
"""No round takes so long."""
QUICK_X = 100
"""How far a quick run goes along the axis of a case that grows."""
PROBED_ROOMS = 10
"""Rooms with one message that shows that all listen, before those that count."""
HISTORY = re.compile(r'statement: SELECT .*FROM "realtime_message"')
SESSIONS = """
import json, sys, django
django.setup()
from importlib import import_module
from datetime import timedelta
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.models import Session
from django.utils import timezone
store = import_module(settings.SESSION_ENGINE).SessionStore()
User = get_user_model()
number = int(sys.argv[1])
users = User.objects.bulk_create([User(username=f"user-{n}", password="!") for n in range(number)])
rows = []
for n, user in enumerate(users):
    data = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    key = f"{n:032d}"
    rows.append(Session(key, store.encode(data), timezone.now() + timedelta(days=1)))
Session.objects.bulk_create(rows)
cookies = [f"{settings.SESSION_COOKIE_NAME}={row.session_key}" for row in rows]
json.dump(cookies, open(sys.argv[2], "w"))
"""


@dataclass(frozen=True)
class Settings:
    """How long, how often, and who."""

    rounds: int = 3
    seconds: float = 5
    warm_up: float = 2
    quick: bool = False
    only: str = ""
    """What the labels of the entries contain."""
    servers: tuple[str, ...] = ("daphne", "uvicorn")
    peers: tuple[str, ...] | None = None
    """None is all of them."""


@dataclass
class Results:
    """What came out of a case: by label, the figures of each round; and who was left out, why."""

    case: Case
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Who did not get to the end of a round, and why."""

    @property
    def medians(self) -> dict[str, dict[str, float]]:
        """By label and figure."""
        return {
            label: {
                name: median(one[name] for one in rounds)
                for name in rounds[0]
                if all(name in one for one in rounds)
            }
            for label, rounds in self.rounds.items()
        }

    @property
    def sound(self) -> dict[str, dict[str, float]]:
        """The medians of those who lost, doubled and reordered nothing: only they are compared."""
        return {
            label: figures
            for label, figures in self.medians.items()
            if label not in self.failed
            and not any(one.get("lost") or one.get("faults") for one in self.rounds[label])
        }

    @property
    def has_failed(self) -> bool:
        """Whether we lost, doubled or reordered anything, or did not get to the end."""
        ours = {entry.label for entry in self.case.entries if not CONTENDERS[entry.contender].peer}
        return not ours & {*self.rounds, *self.failed} <= self.sound.keys()


@contextmanager
def ground() -> Iterator[Ground]:
    """Redis and PostgreSQL of our own."""
    folder = temporary_folder()
    redis = Redis(find_redis(), folder)
    postgres = Postgres(find_postgres(), folder, durable=True)
    try:
        redis.start()
        postgres.start()
        _settle(postgres.url)
        yield Ground(folder, redis, postgres)
    finally:
        redis.kill()
        postgres.terminate()
        shutil.rmtree(folder, ignore_errors=True)


def _settle(url: str) -> None:
    """Give PostgreSQL the log files that one that has run for a day has.

    A new one makes each when it is needed, and everybody waits for some 50 ms.
    """
    _alter_system(url, min_wal_size="1GB", max_wal_size="4GB")
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(WAL_FILES):
            connection.execute("SELECT pg_logical_emit_message(false, 'realtime', 'x')")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


def _alter_system(url: str, **settings: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def _statements(url: str) -> Iterator[None]:
    """Have PostgreSQL log every statement."""
    _alter_system(url, log_statement="all")
    try:
        yield
    finally:
        _alter_system(url, log_statement="none")


def measure(case: Case, ground: Ground, settings: Settings, tell: Callable[[str], None]) -> Results:
    """Run all rounds of a case."""
    results = Results(case)
    entries = list(_chosen(case, settings, results))
    for number in range(settings.rounds):
        for entry in entries:
            if entry.label in results.failed:
                continue
            said = f"{case.name} {number + 1}/{settings.rounds} {entry.label}: "
            try:
                figures = _round(case, entry, ground, settings, results)
            except (OSError, RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
                results.failed[entry.label] = reason(error)
                tell(said + results.failed[entry.label])
                continue
            results.rounds.setdefault(entry.label, []).append(figures)
            tell(f"{said}{figures[case.columns[0]]:,.1f}")
    return results


def reason(error: Exception) -> str:
    """The last line of what went wrong."""
    return (str(error).strip().splitlines() or [repr(error)])[-1]


def _chosen(case: Case, settings: Settings, results: Results) -> Iterator[Entry]:
    for entry in case.entries:
        contender = CONTENDERS[entry.contender]
        if settings.only not in entry.label:
            continue
        if contender.server and contender.server not in settings.servers:
            continue
        if contender.peer and settings.peers is not None and contender.peer not in settings.peers:
            continue
        if settings.quick and entry.x is not None and entry.x > QUICK_X:
            continue
        if lack := contender.lacks():
            results.skipped[entry.label] = lack
        else:
            yield entry


def _round(
    case: Case, entry: Entry, ground: Ground, settings: Settings, results: Results
) -> dict[str, float]:
    with ExitStack() as stack:
        if case.counts_queries:
            stack.enter_context(_statements(ground.postgres.url))
        stand = CONTENDERS[entry.contender].start(ground, **entry.ground)
        stack.callback(ground.drop, stand.database)
        stack.callback(stand.stop)
        options = {
            "dialect": entry.dialect,
            "bases": stand.bases,
            "environment": stand.environment,
            "database": stand.database,
            "seconds": settings.seconds,
            "warm_up": settings.warm_up,
            **case.options,
            **entry.options,
            **(case.quick if settings.quick else {}),
        }
        if "sessions" in options:
            options["cookies"] = _sessions(ground, stand, options["sessions"])
        if paced_by := results.rounds.get(entry.paced_by):
            options["rate"] = paced_by[-1][case.columns[0]] * entry.pace
        figures = _load(case.scenario, options, ground, stand)
        if not CONTENDERS[entry.contender].peer and "acknowledged" in figures:
            figures["lost"] += abs(_rows(stand) - figures["acknowledged"] - PROBED_ROOMS)
        return figures


def _rows(stand: Stand) -> int:
    """How many messages the database has in truth."""
    return Database(stand.database).count("message")


def _sessions(ground: Ground, stand: Stand, number: int) -> str:
    file = str(ground.folder / "cookies.json")
    run("-c", SESSIONS, str(number), file, env=stand.environment)
    return file


def _load(scenario: str, options: dict[str, Any], ground: Ground, stand: Stand) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", scenario, json.dumps(options)]
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    deadline = Timer(LOAD_SECONDS, client.kill)
    deadline.start()
    marks: dict[str, dict[str, float]] = {}
    last = ""
    for line in client.stdout or ():
        last = line.strip()
        if not last.startswith("{"):
            marks[last] = _meters(ground, stand)
            print(file=client.stdin, flush=True)
    deadline.cancel()
    if client.wait():
        raise RuntimeError(f"{_logs(stand)}\nthe load client failed: {last}")
    return _figures(json.loads(last), marks)


def _logs(stand: Stand) -> str:
    return "\n".join(process.log()[-3000:] for process in stand.processes)


def _meters(ground: Ground, stand: Stand) -> dict[str, float]:
    reading = Reading.of(stand.pids)
    redis = redis_work(ground.redis.url)
    return {
        "cpu": reading.cpu_seconds,
        "resident": reading.resident,
        "peak": reading.peak,
        "redis_cpu": redis["seconds"],
        "publishes": redis["publishes"],
        "history": len(HISTORY.findall(ground.postgres.log())),
    }


def _figures(told: dict[str, float], marks: dict[str, dict[str, float]]) -> dict[str, float]:
    before, after = marks["measuring"], marks["measured"]
    used = {name: after[name] - before[name] for name in after}
    figures = dict(told)
    figures["memory_mib"] = after["peak"] / 2**20
    figures["cpu_percent"] = used["cpu"] / told.get("seconds", 1) * 100
    for one, many in (("delivery", "deliveries"), ("message", "messages"), ("connect", "connects")):
        if told.get(many):
            figures[f"cpu_us_per_{one}"] = used["cpu"] / told[many] * 1e6
    if told.get("messages"):
        figures["redis_us_per_message"] = used["redis_cpu"] / told["messages"] * 1e6
        figures["publishes_per_message"] = used["publishes"] / told["messages"]
    if "empty" in marks:
        grown = before["resident"] - marks["empty"]["resident"]
        for one, many in (("connection", "connections"), ("topic", "topics")):
            if told.get(many):
                figures[f"kib_per_{one}"] = grown / told[many] / 1024
    figures["history_queries"] = used["history"]
    return figures
