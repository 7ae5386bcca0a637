"""Store tests run on SQLite always, and on PostgreSQL where there is one."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import DjangoDbBlocker

from harness.site import Sites
from project.settings import database as site_settings_of
from realtime.models import (
    Block,
    Connection,
    Departure,
    Entry,
    LastAddress,
    Log,
    Look,
    Membership,
    Message,
    Node,
    Occupancy,
    Pending,
    Presence,
    Report,
    RevokedToken,
    Rights,
    Room,
    Sanction,
    TopicOccupancy,
    Trace,
    Voice,
)
from realtime.store.outbox.sequencer import sequencer

User = get_user_model()
MODELS = [
    LogEntry,
    Trace,
    Occupancy,
    TopicOccupancy,
    Presence,
    Connection,
    Node,
    Report,
    Sanction,
    Look,
    Voice,
    LastAddress,
    Block,
    Departure,
    Message,
    Membership,
    Pending,
    Entry,
    Log,
    Room,
    RevokedToken,
    Rights,
    User.user_permissions.through,
    User.groups.through,
    Group.permissions.through,
    Group,
    User,
]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, sites: Sites) -> str:
    return sites.database_url(request.param)


@pytest.fixture(autouse=True)
def _no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No publisher numbers what another test, or a part of this one, has left."""
    monkeypatch.setattr(sequencer, "_swept_at", math.inf)


@pytest.fixture(autouse=True)
def database(url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The default database, real and empty: transactions commit, threads see each other's rows."""
    with emptied(url, django_db_blocker):
        yield


@contextmanager
def emptied(url: str, blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let the alias `default` mean the database at `url`, without rows."""
    with blocker.unblock(), switched(url):
        empty()
        yield


@contextmanager
def switched(url: str) -> Iterator[None]:
    """Let the alias `default` mean the database at `url`."""
    before, was = connections.settings["default"], connections["default"]
    connections.settings["default"] = settings_of(url)
    del connections["default"]
    SyncToAsync.single_thread_executor.submit(_forget).result()  # of a test before this one
    ContentType.objects.clear_cache()  # each database has other keys
    try:
        yield
    finally:
        ContentType.objects.clear_cache()
        _end_numbering()
        SyncToAsync.single_thread_executor.submit(_forget).result()
        connections["default"].close()
        connections.settings["default"] = before
        connections["default"] = was


def settings_of(url: str) -> dict[str, Any]:
    """The site's settings of a database, without a pool, and without waiting for the disk."""
    found = site_settings_of(url)
    options = found["OPTIONS"]
    options.pop("pool", None)
    if "init_command" in options:
        options["init_command"] += "; PRAGMA synchronous=OFF"
    return connections.configure_settings({"default": found})["default"]


@contextmanager
def another_database(alias: str, url: str) -> Iterator[str]:
    """Give the site another database under an alias, until the block ends."""
    connections.settings[alias] = settings_of(url)
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


def _forget() -> None:
    """Drop what the thread of `sync_to_async` knows: it keeps connections of its own."""
    # Django's own `close` leaves a connection to a database in memory open.
    BaseDatabaseWrapper.close(connections["default"])
    del connections["default"]


def _end_numbering() -> None:
    """Wait for the thread that numbers what publishers have left to it: it has a connection."""
    sequencer.settle()
    if (thread := sequencer._thread) is not None:
        thread.join(10)


def empty() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for model in MODELS:
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')


@pytest.fixture
def is_postgres() -> bool:
    return connection.vendor == "postgresql"


@pytest.fixture
def room() -> Room:
    return Room.objects.create(slug="general")


@pytest.fixture
def other_room() -> Room:
    return Room.objects.create(slug="other")


def together(jobs: Sequence[Callable[[], object]], seconds: float = 30) -> list[object]:
    """Run each job in a thread with a connection of its own; return results, raise an error."""
    results: list[object] = [None] * len(jobs)

    def run(number: int) -> None:
        try:
            results[number] = jobs[number]()
        except BaseException as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=[number], daemon=True) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a thread hangs"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.fixture
def four_rooms() -> list[Room]:
    return [Room.objects.create(slug=f"r{number}") for number in range(4)]
