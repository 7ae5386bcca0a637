"""`manage.py realtime_doctor` finds each fault that is put in, and says how to mend it."""

import re
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from pytest_django import Settings
from websockets.sync.server import ServerConnection, serve

from harness.services import free_port
from realtime import migrations
from realtime.doctor import database as of_database
from realtime.doctor import processes
from realtime.doctor import versions as of_versions
from realtime.engine.bus.publisher import Publisher
from realtime.models import Node, Pending
from tests.management.conftest import run
from tests.store.conftest import database, switched, url

__all__ = ["database", "url"]

Given = pytest.FixtureRequest
MIGRATIONS = Path(migrations.__file__).parent.glob("0*.py")
LAST = ("realtime", max(file.stem for file in MIGRATIONS))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("realtime.engine.asking.publisher", Publisher())


def node(name: str = "a", seconds: int = 60) -> Node:
    expires_at = timezone.now() + timedelta(seconds=seconds)
    return Node.objects.create(id=name, hostname="host", pid=1, expires_at=expires_at)


def layer(address: str) -> dict[str, Any]:
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": [address], "prefix": "doctor"}}}


# The faults of database, processes and settings.


def dead_database(given: Given) -> Any:
    return switched("postgres://127.0.0.1:1/nothing")


@contextmanager
def missing_migration(given: Given) -> Iterator[None]:
    MigrationRecorder(connection).record_unapplied(*LAST)
    try:
        yield
    finally:
        MigrationRecorder(connection).record_applied(*LAST)


@contextmanager
def clock_that_is_late(given: Given) -> Iterator[None]:
    monkeypatch: pytest.MonkeyPatch = given.getfixturevalue("monkeypatch")
    with monkeypatch.context() as patch:
        real = time.time
        patch.setattr(of_database.time, "time", lambda: real() - 3600)
        yield


@contextmanager
def waiting_entries(given: Given) -> Iterator[None]:
    Pending.objects.create(
        topic="t", kind="event", created_at=timezone.now() - timedelta(minutes=1)
    )
    yield


@contextmanager
def no_process(given: Given) -> Iterator[None]:
    yield


@contextmanager
def dead_process(given: Given) -> Iterator[None]:
    node(seconds=-60)
    yield


@contextmanager
def layer_of_one_process(given: Given) -> Iterator[None]:
    node()
    yield


@contextmanager
def dead_redis(given: Given) -> Iterator[None]:
    node()
    settings: Settings = given.getfixturevalue("settings")
    settings.CHANNEL_LAYERS = layer(f"redis://127.0.0.1:{free_port()}")
    yield


@contextmanager
def deaf_process(given: Given) -> Iterator[None]:
    node()
    settings: Settings = given.getfixturevalue("settings")
    settings.CHANNEL_LAYERS = layer(given.getfixturevalue("redis_url"))
    yield


@contextmanager
def old_package(given: Given) -> Iterator[None]:
    monkeypatch: pytest.MonkeyPatch = given.getfixturevalue("monkeypatch")
    with monkeypatch.context() as patch:
        patch.setattr(of_versions, "versions", lambda: {"Python": "3.13.0", "channels": "4.2.0"})
        yield


@contextmanager
def old_redis(given: Given) -> Iterator[None]:
    settings: Settings = given.getfixturevalue("settings")
    settings.CHANNEL_LAYERS = layer(given.getfixturevalue("redis_url"))
    monkeypatch: pytest.MonkeyPatch = given.getfixturevalue("monkeypatch")
    with monkeypatch.context() as patch:
        patch.setattr(of_versions, "LEAST_REDIS", "999")
        yield


@contextmanager
def wrong_setting(given: Given) -> Iterator[None]:
    given.getfixturevalue("settings").REALTIME = {"GUEST": True}
    yield


FAULTS: dict[str, tuple[Callable[[Given], Any], str, str]] = {
    "database": (dead_database, "The database does not answer", "Start the database"),
    "migrations": (missing_migration, f"Migrations are missing: {LAST[1]}.", "manage.py migrate"),
    "clocks": (clock_that_is_late, "is 3600 s ahead", "time service"),
    "pending": (waiting_entries, "has waited for its position for 6", "Start a server"),
    "processes": (no_process, "No server process with sockets is alive.", "Start a server process"),
    "dead": (dead_process, "has ended without its last steps", "start a server process"),
    "unshared": (layer_of_one_process, "cannot be called", "CHANNEL_LAYERS"),
    "redis": (dead_redis, "cannot be called: The channel layer does not", "Start Redis"),
    "doorbell": (deaf_process, "does not hear this one", "Compare CHANNEL_LAYERS"),
    "old package": (
        old_package,
        "channels 4.2.0 is too old: 4.3.2 is the oldest that works.",
        'pip install --upgrade "channels"',
    ),
    "old Redis": (old_redis, "999 is the oldest that works", "Upgrade the Redis server."),
    "settings": (wrong_setting, "unknown key 'GUEST'", "Did you mean 'GUESTS'? (realtime.E002)"),
}


NEEDS_REDIS = {"doorbell": pytest.mark.servers, "old Redis": pytest.mark.servers}


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=NEEDS_REDIS.get(name, ())) for name in FAULTS]
)
def test_a_fault_is_found_with_its_mend(fault: str, request: pytest.FixtureRequest) -> None:
    put_in, text, mend = FAULTS[fault]
    with put_in(request):
        ran = run("realtime_doctor", "--json")
    found = [one for one in ran.result["findings"] if text in one["text"]]
    assert len([one for one in found if mend in one["mend"]]) == 1, ran.out
    assert (ran.code, ran.result["ok"]) == (1, False)


def test_a_database_that_forgets_is_found(url: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a setting of PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    ran = run("realtime_doctor")
    assert "BAD  durability: PostgreSQL has synchronous_commit = off" in ran.out
    assert "     Set synchronous_commit = on" in ran.out


def test_a_full_database_is_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a setting of PostgreSQL")
    monkeypatch.setattr(of_database, "FULL", 0)
    assert "warn pools:" in run("realtime_doctor").out


# Versions.


def test_the_versions_of_all_parts_are_named(url: str, settings: Settings, redis_url: str) -> None:
    """Those of the packages, the database and Redis."""
    settings.CHANNEL_LAYERS = layer(redis_url)
    out = run("realtime_doctor").out
    assert re.search(r"ok   versions: realtime [\d.]+, Python 3[\d.]+, Django ", out)
    assert re.search(r"ok   versions: (SQLite|PostgreSQL) [\d.]+\.", out)
    assert re.search(r"ok   versions: (Redis|Valkey) [\d.]+ \(number 1 of the channel layer\)", out)


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        ({}, "warn versions: The process a (host:1) has an earlier release of this package"),
        ({"Django": "4.0"}, "(host:1) has Django 4.0 in place of 5.0."),
        ({"Django": "5.0", "uvicorn": "1"}, "(host:1) has uvicorn 1 in place of (none)."),
        ({"Django": "5.0"}, "ok   versions: 1 processes have the versions of this one."),
    ],
    ids=["earlier", "another", "more", "same"],
)
def test_processes_with_other_versions_are_named(
    monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str], text: str
) -> None:
    node()
    own = {"Django": "5.0"}
    monkeypatch.setattr(of_versions, "versions", lambda: own)
    monkeypatch.setattr(of_versions, "versions_of", lambda nodes, _: dict.fromkeys(nodes, theirs))
    assert text in run("realtime_doctor").out


def test_the_oldest_versions_are_those_of_the_project() -> None:
    text = Path("pyproject.toml").read_text()
    assert of_versions.LEAST["Python"] == tomllib.loads(text)["project"]["requires-python"][2:]
    for name, least in of_versions.LEAST.items():
        if name != "Python":
            [found] = set(re.findall(rf'"{name}(?:\[[a-z,]+\])?>=([\d.]+)', text))
            assert (name, found) == (name, least)


@pytest.mark.parametrize(
    ("found", "least", "is_older"),
    [
        ("5.2.14", "5.2.14", False),
        ("5.2.13", "5.2.14", True),
        ("6.0rc1", "5.2.14", False),
        ("5.10", "5.9", False),
        ("", "5.0", False),
        ("unknown", "5.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(found: str, least: str, is_older: bool) -> None:
    assert of_versions._is_older(found, least) is is_older


# The faults of the address.


@contextmanager
def answering(handle: Callable[[ServerConnection], None], **options: Any) -> Iterator[str]:
    """A socket server that stands for a proxy; yields its address."""
    with serve(handle, "127.0.0.1", 0, **options) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        server.shutdown()
        thread.join()


def quiet(socket: ServerConnection) -> None:
    """Welcome, ping, and stay until the client goes."""
    socket.send('{"type": "welcome"}')
    socket.send('{"type": "ping", "t": "7"}')
    assert socket.recv() == '{"type": "pong", "t": "7"}'
    for _ in socket:
        pass


def hasty(socket: ServerConnection) -> None:
    """Welcome, and close as a proxy does."""
    socket.send('{"type": "welcome"}')
    socket.close(1001, "idle")


def refusing(socket: ServerConnection) -> None:
    socket.send('{"type": "error", "text": "Sign in."}')


class NotFound(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Do not print requests."""


def examined(address: str, *arguments: str) -> str:
    return run("realtime_doctor", "--url", address, *arguments).out


PROTOCOL = {"subprotocols": ["realtime.v1.json"]}


def test_an_address_that_works_is_held() -> None:
    with answering(quiet, **PROTOCOL) as address:
        out = examined(address, "--hold", "0.3")
    assert f"ok   address: {address} sends its welcome." in out
    assert "ok   hold:" in out


@pytest.mark.parametrize(
    ("handle", "options", "text"),
    [
        (hasty, PROTOCOL, "BAD  hold: {address} was closed after 0 s: close code 1001, idle."),
        (refusing, PROTOCOL, "warn address: {address} refuses this client: Sign in."),
        (quiet, {}, "BAD  address: {address} does not answer with the subprotocol"),
    ],
    ids=["hasty", "refusing", "unaware"],
)
def test_a_fault_of_the_address_is_found(
    handle: Callable[[ServerConnection], None], options: dict[str, Any], text: str
) -> None:
    with answering(handle, **options) as address:
        assert text.format(address=address) in examined(address, "--hold", "5")


def test_an_address_without_sockets_is_found() -> None:
    server = HTTPServer(("127.0.0.1", 0), NotFound)
    thread = Thread(target=server.serve_forever)
    thread.start()
    out = examined(f"ws://127.0.0.1:{server.server_port}/ws")
    server.shutdown()
    thread.join()
    server.server_close()
    assert "answers with HTTP status 404." in out
    assert "Correct the path of the address" in out


def test_an_address_where_nothing_listens_is_found() -> None:
    assert "cannot be opened" in examined(f"ws://127.0.0.1:{free_port()}/ws")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--url", "https://example.com"], "--url must be an address such as wss://"),
        (["--url", "ws:///ws"], "--url must be an address such as wss://"),
        (["--url", "ws://[::1/ws"], "--url must be an address such as wss://"),
        (["--url", "ws://x/ws", "--hold", "-1"], "--hold must be a number of seconds"),
        (["--url", "ws://x/ws", "--hold", "nan"], "--hold must be a number of seconds"),
        (["--hold", "5"], "need --url"),
        (["--url", "ws://x/ws", "--username", "nobody"], "There is no user 'nobody'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], text: str) -> None:
    User.objects.create(username="ada")
    ran = run("realtime_doctor", *arguments)
    assert (ran.code, text in ran.error) == (2, True), ran.error
