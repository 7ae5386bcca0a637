"""The executor of database work: lanes that do not wait for each other, and an end to all."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections

from harness.site import ROOT
from harness.waiting import eventually
from realtime.engine.database import batch_loader
from realtime.engine.database import executor as module
from realtime.engine.database.executor import Database
from realtime.wire.errors import CommandError


def sleep_there(seconds: float) -> None:
    """Have PostgreSQL sleep."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def threads() -> set[str]:
    names = {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    return {name for name in names if name.startswith("realtime-")}


HANGS = """
import asyncio, time
from realtime.engine.database.thread_pool import ThreadPool

async def main():
    pool = ThreadPool(2, "pool")
    asyncio.get_running_loop().run_in_executor(pool, time.sleep, 600)
    await asyncio.get_running_loop().run_in_executor(pool, print, "hello")

asyncio.run(main())
"""


def test_a_thread_that_hangs_keeps_no_process_from_ending() -> None:
    """Python waits at its exit for every thread of the standard library's pools."""
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=ROOT, timeout=20, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"hello\n", b"")


async def test_stopping_does_not_wait_for_ever(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    db = Database()
    works = [
        asyncio.ensure_future(run(sleep_there, 2))
        for run in (db.write, db.pulse, db.write_blocking)
    ]
    await eventually(lambda: len(threads()) == 3)
    await db.stop()
    assert not any(work.done() for work in works)
    await asyncio.gather(*works)
    await eventually(lambda: not threads())


async def test_a_thread_that_hangs_keeps_no_other_connection_open(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread closes its own at its end, whenever that is."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    db = Database()

    def opened(seconds: float) -> Any:
        sleep_there(seconds)
        return connections["default"].connection

    used = await asyncio.gather(*(db.read(opened, 0.1) for _ in range(4)))
    assert len({id(one) for one in used}) == 4
    hanging = asyncio.ensure_future(db.read(opened, 1))
    await asyncio.sleep(0)
    await db.stop()
    assert sum(one.closed for one in used) == 3
    await hanging
    await eventually(lambda: all(one.closed for one in used))


async def test_lanes_have_as_many_threads_as_they_may_and_end_with_the_executor(
    postgres: str,
) -> None:
    db, before = Database(), set(threading.enumerate())
    await asyncio.gather(*(db.read(sleep_there, 0.1) for _ in range(9)))
    made = set(threading.enumerate()) - before
    assert sum(thread.name.startswith("realtime-read") for thread in made) == 4
    await db.stop()
    await eventually(lambda: not any(thread.is_alive() for thread in made))


async def test_a_slow_query_in_one_lane_holds_up_no_other(postgres: str, db: Database) -> None:
    slow = asyncio.ensure_future(db.read(sleep_there, 2))
    for run in (db.read, db.write, db.pulse, db.write_blocking):
        await run(sleep_there, 0)
    assert not slow.done()
    await slow


async def test_a_read_that_takes_too_long_fails_and_its_thread_goes_on(
    postgres: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "READ_SECONDS", 0.1)
        with pytest.raises(DatabaseError):
            await db.read(sleep_there, 0.5)
    assert await db.read(int) == 0


async def test_a_few_queries_with_many_rows_run_at_once(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other queries need not wait for them."""
    monkeypatch.setattr(batch_loader, "AT_ONCE", 1)
    database = Database()
    lock, running, most = threading.Lock(), 0, 0
    begun, go = threading.Event(), threading.Event()

    def rows(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        begun.set()
        go.wait(5)
        with lock:
            running -= 1

    works = [asyncio.ensure_future(database.read_rows(rows, number)) for number in range(5)]
    await eventually(begun.is_set)
    assert await database.read(str, 1) == "1"
    go.set()
    await asyncio.gather(*works)
    await database.stop()
    assert most == 1


class Rows:
    """A query with many rows, which runs until the test lets it go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[int] = []

    def read(self, key: int) -> int:
        self.asked.append(key)
        self.go.wait(5)
        return len(self.asked)


async def test_equal_queries_with_many_rows_share_one_that_has_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A query that runs may have missed what its later caller has just written."""
    monkeypatch.setattr(batch_loader, "AT_ONCE", 1)
    database, rows = Database(), Rows()
    first = asyncio.ensure_future(database.read_rows(rows.read, 1))
    await eventually(lambda: rows.asked == [1])
    later = [asyncio.ensure_future(database.read_rows(rows.read, key)) for key in (1, 2, 1, 1, 2)]
    gone = asyncio.ensure_future(database.read_rows(rows.read, 3))
    await asyncio.wait([gone], timeout=0)
    gone.cancel()
    rows.go.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2, 3, 2, 2, 3]
    await database.stop()
    assert rows.asked == [1, 1, 2]  # nobody waits for the last one


async def test_a_query_with_many_rows_is_refused_at_once_if_too_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_loader, "AT_ONCE", 1)
    monkeypatch.setattr(module, "ROWS_WAITING", 2)
    database, rows = Database(), Rows()
    works = [asyncio.ensure_future(database.read_rows(rows.read, 0))]
    await eventually(lambda: rows.asked == [0])
    works += [asyncio.ensure_future(database.read_rows(rows.read, key)) for key in (1, 2)]
    await asyncio.wait(works, timeout=0)
    with pytest.raises(CommandError, match="too many") as refused:
        await database.read_rows(rows.read, 3)
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 1)
    works.append(asyncio.ensure_future(database.read_rows(rows.read, 2)))  # shares a query
    await asyncio.wait(works, timeout=0)
    rows.go.set()
    await asyncio.gather(*works)
    await database.stop()


class Site:
    """Code of a site that runs until the test lets it go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.begun = 0

    def slow(self) -> int:
        with self.lock:
            self.begun += 1
            number = self.begun
        self.go.wait(5)
        return number

    def ask(self, keys: list[int]) -> dict[int, str]:
        return {key: threading.current_thread().name for key in keys}


async def test_slow_calls_of_a_site_delay_neither_reads_nor_permissions(
    db: Database, settings: Any
) -> None:
    site = Site()
    calls = [asyncio.wrap_future(db.call(site.slow, owner=number % 3)) for number in range(9)]
    await eventually(lambda: site.begun == 4)
    assert await db.read(str, 1) == "1"
    assert (await db.ask(site.ask, 1) or "").startswith("realtime-ask")
    assert site.begun == 4  # the others wait for one of the four threads
    site.go.set()
    assert sorted(await asyncio.gather(*calls)) == list(range(1, 10))


async def test_the_number_of_threads_for_calls_can_be_set(settings: Any) -> None:
    settings.REALTIME = {"CALL_THREADS": 1}
    db, site = Database(), Site()
    calls = [asyncio.wrap_future(db.call(site.slow, owner=one)) for one in "ab"]
    await eventually(lambda: site.begun == 1)
    await db.read(str, 1)
    assert site.begun == 1
    site.go.set()
    await asyncio.gather(*calls)
    await db.stop()


async def test_a_call_beyond_those_that_may_wait_is_refused(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one user, and those of all."""
    monkeypatch.setattr(module, "CALLS_WAITING", 4)
    monkeypatch.setattr(module, "OWN_CALLS_WAITING", 3)
    site = Site()
    calls = [asyncio.wrap_future(db.call(site.slow, owner="a")) for _ in range(5)]
    calls.append(asyncio.wrap_future(db.call(site.slow, owner="b")))
    await eventually(lambda: site.begun == 3)
    with pytest.raises(CommandError) as refusal:
        db.call(site.slow, owner="a")
    assert (refusal.value.code, refusal.value.retry_after) == ("unavailable", 1)
    calls += [asyncio.wrap_future(db.call(site.slow, owner="b")) for _ in range(2)]
    await eventually(lambda: site.begun == 4)
    with pytest.raises(CommandError):
        db.call(site.slow, owner="c")
    site.go.set()
    await asyncio.gather(*calls)
    assert await asyncio.wrap_future(db.call(str, 1, owner="a")) == "1"


async def test_a_call_that_waits_can_be_cancelled_and_never_begins(db: Database) -> None:
    """One that has begun cannot: its thread is taken until it ends."""
    site = Site()
    begun = [db.call(site.slow, owner=number % 2) for number in range(4)]
    await eventually(lambda: site.begun == 4)
    waiting = db.call(site.slow, owner=0)
    assert waiting.cancel()
    assert not begun[0].cancel()
    site.go.set()
    assert sorted(one.result(5) for one in begun) == [1, 2, 3, 4]
    await asyncio.wrap_future(db.call(int, owner=0))
    assert site.begun == 4


async def test_calls_that_hang_leave_threads_for_hooks_and_for_other_users(db: Database) -> None:
    site, other = Site(), Site()
    calls = [asyncio.wrap_future(db.call(site.slow, owner="a")) for _ in range(9)]
    await eventually(lambda: site.begun == 2)
    assert await asyncio.wrap_future(db.call(str, 1, owner="b")) == "1"
    assert await asyncio.wrap_future(db.hook(str, 2, owner="a")) == "2"
    hooks = [asyncio.wrap_future(db.hook(other.slow, owner="after")) for _ in range(9)]
    await eventually(lambda: other.begun == 2)
    assert await asyncio.wrap_future(db.hook(str, 3, owner="a")) == "3"
    assert site.begun == 2
    site.go.set()
    other.go.set()
    await asyncio.gather(*calls, *hooks)


async def test_permissions_that_hang_leave_threads_for_those_of_other_classes(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the askers have given up."""
    site = Site()

    def hang(keys: list[int]) -> dict[int, str]:
        site.slow()
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(module, "READ_SECONDS", 0.2)
        for number in range(3):
            with pytest.raises(DatabaseError):
                await db.ask(hang, number)
    assert site.begun == 2
    assert (await db.ask(site.ask, 1) or "").startswith("realtime-ask")
    site.go.set()


async def test_threads_that_hang_are_replaced(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two users and two topic classes have taken all of them."""
    monkeypatch.setattr(module, "REPLACE_SECONDS", 0.05)
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    site = Site()

    def hang(keys: list[int]) -> dict[int, str]:
        site.slow()
        return {}

    def hang_too(keys: list[int]) -> dict[int, str]:
        return hang(keys)

    calls = [asyncio.wrap_future(db.call(site.slow, owner=one)) for one in "aabb"]
    asks = []
    for number in (1, 2):
        asks += [asyncio.create_task(db.ask(one, number)) for one in (hang, hang_too)]
        await eventually(lambda number=number: site.begun == 4 + 2 * number)
    assert await asyncio.wrap_future(db.call(str, 1, owner="c")) == "1"
    assert (await db.ask(site.ask, 1) or "").startswith("realtime-ask")
    assert "threads for 'call' are replaced" in caplog.text
    site.go.set()
    await asyncio.gather(*calls, *asks)


async def test_a_call_and_a_permission_raise_what_the_site_raises(db: Database) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wrap_future(db.call(broken, owner=1))
    with pytest.raises(ZeroDivisionError):
        await db.ask(broken, 1)


async def test_a_permission_that_hangs_fails(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    with monkeypatch.context() as patch:
        patch.setattr(module, "READ_SECONDS", 0.1)
        with pytest.raises(DatabaseError):
            await db.ask(lambda keys: {key: site.slow() for key in keys}, 1)
    assert (await db.ask(site.ask, 1) or "").startswith("realtime-ask")  # by the other thread
    site.go.set()


async def test_without_threads_calls_run_in_the_thread_of_django(settings: Any) -> None:
    """As the tests of a site need it: a call sees what the test has written."""
    settings.REALTIME = {"DB_THREADS": 0}
    db = Database()
    there = await asyncio.wrap_future(db.call(threading.get_ident, owner=1))
    assert there == await db.read(threading.get_ident)
    ended = db.call(int, owner=1)
    assert ended.cancel()
    db.abandon()
    with pytest.raises(asyncio.CancelledError):
        db.call(int, owner=1)
