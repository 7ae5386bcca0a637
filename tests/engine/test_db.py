"""The executor of database work: lanes that do not wait for each other, and an end to all."""

import asyncio
import threading
import time

import pytest
from django.db import DatabaseError, connection

from realtime.engine import db as module
from realtime.engine.db import Database
from tests.client import eventually


def sleep_there(seconds: float) -> None:
    """Have PostgreSQL take its time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def threads() -> set[str]:
    names = {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    return {name for name in names if name.startswith("realtime-")}


async def test_a_database_that_does_not_answer_keeps_no_process_from_ending(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python waits for every thread at its exit: those that hang are cut off from the server."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    db = Database()
    works = [asyncio.ensure_future(run(sleep_there, 60)) for run in (db.write, db.pulse, db.wait)]
    await eventually(lambda: len(db._busy) == 3)
    began = time.monotonic()
    await db.stop()
    for work in works:
        with pytest.raises(DatabaseError):
            await work
    await eventually(lambda: not threads())
    assert time.monotonic() - began < 5


async def test_a_thread_that_has_ended_in_time_is_left_alone(postgres: str) -> None:
    db = Database()
    await db.write(sleep_there, 0)
    assert db._busy == {}
    await db.stop()
    await eventually(lambda: not threads())


async def test_a_slow_query_in_one_lane_holds_up_no_other(postgres: str, db: Database) -> None:
    slow = asyncio.ensure_future(db.read(sleep_there, 1))
    began = time.monotonic()
    for run in (db.read, db.write, db.pulse, db.wait):
        await run(sleep_there, 0)
    assert time.monotonic() - began < 0.9
    await slow


async def test_a_read_that_takes_too_long_fails_and_its_thread_goes_on(
    postgres: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.1)
    with pytest.raises(DatabaseError):
        await db.read(sleep_there, 0.5)
    await eventually(lambda: db._busy == {})
