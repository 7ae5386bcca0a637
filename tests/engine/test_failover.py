"""A failover: connections that still answer lead to a server that cannot do the work any more."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import AsyncClient
from pytest_django.plugin import DjangoDbBlocker

from harness.services import Postgres, Services, create_database
from harness.site import migrate
from harness.waiting import eventually
from project.settings import database as settings_of
from realtime import moderation, push, rooms
from realtime.engine.database.executor import Database
from realtime.engine.engine import Engine
from realtime.models import Message, Room
from realtime.store.database import life
from realtime.store.database.servers import is_fault, is_writable, servers
from realtime.store.messages.logs import lock_logs
from tests.proxy import Proxy, beside

pytestmark = pytest.mark.servers

METHODS = ("read", "write", "write_blocking", "pulse")
SECONDS = 5


@dataclass
class Pair:
    """Two servers with the same tables; new connections lead to one of them."""

    here: Postgres
    there: Postgres
    proxy: Proxy

    def fail_over(self) -> None:
        """The old primary stays up and keeps its connections, but accepts no writes."""
        self.here.set_read_only(True)
        self.switch()

    def cut(self) -> None:
        """End what is open, as a proxy does that has noticed."""

        def cut() -> None:
            self.proxy.cut()
            self.proxy.restore()

        assert self.proxy.loop
        self.proxy.loop.call_soon_threadsafe(cut)

    def switch(self) -> None:
        self.here, self.there = self.there, self.here
        self.proxy.target = self.here.port


@pytest.fixture(scope="module")
def primary(services: Services) -> Postgres:
    made = services.new_postgres()
    migrate(create_database(made.url, "site"), ["general"])
    return made


@pytest.fixture(scope="module")
def other(services: Services, primary: Postgres) -> Postgres:
    return services.copy_of(primary, follows=False)


@pytest.fixture(params=["pool", "kept"])
def pair(
    request: pytest.FixtureRequest,
    primary: Postgres,
    other: Postgres,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Pair]:
    """The default database by a pool, or by connections that threads keep."""
    with beside(primary.port) as proxy:
        options = settings_of(f"postgresql://postgres@127.0.0.1:{proxy.port}/site")
        if request.param == "kept":
            del options["OPTIONS"]["pool"]
            options["CONN_MAX_AGE"] = None
        before, was = connections.settings["default"], connections["default"]
        connections.settings.update(connections.configure_settings({"default": options}))
        del connections["default"]
        servers._left_at.clear()  # by the test before this one
        with django_db_blocker.unblock():
            yield Pair(primary, other, proxy)
        connections["default"].close()
        connections["default"].close_pool()
        connections.settings["default"] = before
        connections["default"] = was
    for server in (primary, other):
        server.set_read_only(False)


def write_port() -> int:
    """Write something, as every pool may; return the port of the server."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE realtime_head SET rights_seq = rights_seq + 1")
        cursor.execute("SELECT current_setting('port')::int")
        return int(cursor.fetchone()[0])


def read_port() -> int:
    """Only read; return the port of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('port')::int")
        return int(cursor.fetchone()[0])


async def reaches(run: Callable[..., Any], job: Callable[[], int], port: int) -> None:
    """Repeat a job, as all pools do, until the right server does it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if await run(job) == port:
                return
        except DatabaseError:
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError(f"still not at {port}")


async def all_busy(db: Database) -> None:
    """Have every thread of every pool open a connection, as under load."""
    await asyncio.gather(*(getattr(db, method)(time_there) for method in METHODS for _ in range(4)))


def wait_long() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")


def time_there() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05)")


@pytest.mark.parametrize("method", METHODS)
async def test_each_pool_reaches_the_new_primary_while_the_old_one_answers(
    pair: Pair, db: Database, method: str
) -> None:
    """A write that is refused as read-only shows that the server is at fault."""
    await all_busy(db)
    pair.fail_over()
    await reaches(getattr(db, method), write_port, pair.here.port)


@pytest.mark.parametrize("method", METHODS)
async def test_each_pool_leaves_a_server_that_froze(
    pair: Pair, db: Database, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel goes on to acknowledge packets, so nothing else ends the wait for an answer."""
    monkeypatch.setattr("realtime.engine.database.executor.CHECK_SECONDS", 0.1)
    await all_busy(db)  # it may take longer on a busy machine than a job may below
    monkeypatch.setattr("realtime.engine.database.executor.HUNG_SECONDS", 0.5)
    if hasattr(pool := getattr(connection, "pool", None), "drain"):
        pool.drain()  # and so it has connections that no thread has had
        pool.wait()
    frozen = pair.here
    frozen.pause()
    pair.switch()
    try:
        await reaches(getattr(db, method), write_port, pair.here.port)
    finally:
        frozen.resume()


async def test_a_statement_that_gets_no_answer_fails(
    pair: Pair, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was sent before the server froze, by the only thread that writes."""
    monkeypatch.setattr("realtime.engine.database.executor.HUNG_SECONDS", 0.5)
    monkeypatch.setattr("realtime.engine.database.executor.CHECK_SECONDS", 0.1)
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(db.write(wait_long), SECONDS)
    assert await db.write(write_port) == pair.here.port


async def test_a_refused_write_in_one_pool_moves_the_readers_too(pair: Pair, db: Database) -> None:
    """They get no error, and would read what is old for ever."""
    await all_busy(db)
    pair.fail_over()
    await reaches(db.write, write_port, pair.here.port)
    async with asyncio.timeout(SECONDS):
        while True:
            ports = await asyncio.gather(*(db.read(read_port) for _ in range(12)))
            if set(ports) == {pair.here.port}:
                return


async def test_readers_leave_a_read_only_server_without_any_error(pair: Pair, db: Database) -> None:
    """The server reports of itself what it is."""
    await all_busy(db)
    pair.fail_over()
    await reaches(db.read, read_port, pair.here.port)


async def test_reading_continues_while_every_server_is_read_only(pair: Pair, db: Database) -> None:
    """Connections are replaced once a second, not for every query."""
    await all_busy(db)
    pair.here.set_read_only(True)
    with pytest.raises(DatabaseError):
        await db.write(write_port)
    for _ in range(20):
        assert await db.read(read_port) == pair.here.port
    pair.here.set_read_only(False)
    await reaches(db.write, write_port, pair.here.port)


async def test_a_server_that_ends_connections_costs_a_moment(pair: Pair, db: Database) -> None:
    """The same server, but none of its connections is good any more."""
    await all_busy(db)
    with closing(psycopg.connect(pair.here.url, autocommit=True)) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'site'"
        )
    for method in METHODS:
        await reaches(getattr(db, method), write_port, pair.here.port)


async def test_a_standby_is_left_and_a_promoted_one_is_kept(
    pair: Pair, db: Database, services: Services
) -> None:
    """An address that leads to a standby for a while, as names do after a failover."""
    standby = services.copy_of(pair.here, follows=True)
    await all_busy(db)
    before, pair.here = pair.here, standby
    pair.proxy.target = standby.port
    pair.cut()
    for method in METHODS:
        with pytest.raises(DatabaseError):
            await getattr(db, method)(write_port)
    await reaches(db.read, read_port, standby.port)
    before.set_read_only(True)
    await asyncio.to_thread(standby.promote)
    for method in METHODS:
        await reaches(getattr(db, method), write_port, standby.port)


def in_sync_code(act: Callable[[], object], port: int) -> None:
    """Repeat an act as requests would, on a connection that the thread keeps."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            act()
            assert read_port() == port
            return
        except (DatabaseError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(
    "act",
    [
        lambda room: push.room("general").message("hello", username="CI"),
        lambda room: moderation.mute(room, "guest:1"),
        lambda room: rooms.refresh_rights(room),
    ],
    ids=["push", "moderation", "rooms"],
)
def test_synchronous_code_reaches_the_new_primary(pair: Pair, act: Callable[[Room], Any]) -> None:
    """A worker or a shell that keeps its connection."""
    room = Room.objects.get(slug="general")
    act(room)
    pair.fail_over()
    in_sync_code(lambda: act(room), pair.here.port)


def test_a_pushed_message_is_stored_by_the_first_call(pair: Pair) -> None:
    """Its nonce allows another try, on another server."""
    push.room("general").message("before", username="CI")
    pair.fail_over()
    pushed = push.room("general").message("after", username="CI")
    assert pushed is not None
    assert Message.objects.get(pk=pushed.pk).content == "after"
    assert read_port() == pair.here.port


def test_the_first_write_of_a_process_shows_that_a_standby_is_at_fault(
    pair: Pair, services: Services
) -> None:
    """A standby has no life to compare; what is at fault is the server, not the statement."""
    room = Room.objects.get(slug="general")
    rooms.refresh_rights(room)
    standby = services.copy_of(pair.here, follows=True)
    pair.proxy.target = standby.port
    pair.cut()
    in_sync_code(connection.close, standby.port)
    life._readable.clear()
    with pytest.raises(DatabaseError) as refused, transaction.atomic():
        lock_logs("default", {room.pk})
    assert is_fault(refused.value)
    assert life._readable == {}


@transaction.atomic
def _read_and_change(room: Room) -> None:
    read_port()
    rooms.refresh_rights(room)


def test_a_transaction_of_the_caller_keeps_its_connection(pair: Pair) -> None:
    """It has to fail as a whole; the next one leads to the new primary."""
    room = Room.objects.get(slug="general")
    rooms.refresh_rights(room)
    pair.fail_over()
    with pytest.raises(DatabaseError):
        _read_and_change(room)
    in_sync_code(lambda: rooms.refresh_rights(room), pair.here.port)


@pytest.mark.urls("project.urls")
async def test_a_process_that_cannot_write_is_not_ready(pair: Pair) -> None:
    """Neither while its server is read-only, nor before its lease is renewed again."""
    engine = await Engine.current()
    try:

        async def status() -> int:
            return (await AsyncClient().get("/realtime/ready/")).status_code

        assert await status() == 200
        pair.here.set_read_only(True)
        async with asyncio.timeout(SECONDS):
            while await status() != 503:
                await asyncio.sleep(0.05)
        pair.here.set_read_only(False)
        await eventually(lambda: engine.is_current, 15)
        async with asyncio.timeout(SECONDS):
            while await status() != 200:
                await asyncio.sleep(0.05)
    finally:
        await engine.stop()
        engine.unregister()


@pytest.mark.parametrize(
    ("state", "is_of_the_server"),
    [
        ("25006", True),  # read-only, or a standby
        ("57P01", True),
        ("57P02", True),
        ("57P03", True),
        ("08006", True),
        ("08P01", True),  # how PgBouncer reports that its server is away
        ("53100", True),  # its disk is full
        ("58030", True),
        ("53300", False),  # what is connected may stay
        ("55P03", False),
        ("57014", False),
        ("40P01", False),
        ("23505", False),
    ],
)
def test_an_error_shows_whether_the_server_or_the_statement_is_at_fault(
    state: str, is_of_the_server: bool
) -> None:
    error = DatabaseError()
    error.__cause__ = psycopg.errors.lookup(state)()
    assert is_fault(error) is is_of_the_server


def test_a_file_that_is_read_only_is_at_fault(tmp_path: Path) -> None:
    """A statement that SQLite cannot parse is not."""
    path = tmp_path / "file.sqlite3"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (a)")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        assert is_fault(_raised(opened, "INSERT INTO t VALUES (1)"))
        assert not is_fault(_raised(opened, "INSERT"))


def _raised(opened: sqlite3.Connection, query: str) -> sqlite3.Error:
    with pytest.raises(sqlite3.Error) as caught:
        opened.execute(query)
    return caught.value


def test_a_read_only_server_is_distinguished_from_a_writable_one(pair: Pair) -> None:
    assert is_writable("default")
    pair.here.set_read_only(True)
    deadline = time.monotonic() + SECONDS
    while is_writable("default"):
        assert time.monotonic() < deadline
