"""The migrations say what the models say, and can be taken back."""

from threading import Event
from time import monotonic

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.utils.timezone import now

from realtime.migrations import _locks
from realtime.models import Connection, Entry, Log, Node, Pending, Presence, Room
from realtime.store.database import life
from tests.store.conftest import together


def test_nothing_is_missing_from_the_migrations() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def tables() -> set[str]:
    names = connection.introspection.table_names()
    return {name for name in names if name.startswith("realtime_")}


def test_the_migrations_can_be_reversed_and_applied_again() -> None:
    before = tables()
    call_command("migrate", "realtime", "zero", verbosity=0)
    try:
        assert tables() == set()
    finally:
        call_command("migrate", "realtime", verbosity=0)
    assert tables() == before != set()


OLD_LOG = "INSERT INTO realtime_head (room_id, last_seq, purged_seq, rights_seq, epoch) VALUES "
COLUMNS = "room_id, last_seq, purged_seq, rights_seq, epoch"


def logs() -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM realtime_head ORDER BY room_id")
        return list(cursor.fetchall())


def current_life() -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {life.expression('default')}")
        return str(cursor.fetchone()[0])


def test_the_logs_of_rooms_survive_the_migration_for_topics_and_the_way_back() -> None:
    """Logs of topics do not, as the release before knows none."""
    rooms = [Room.objects.create(slug=slug) for slug in ("one", "two")]
    call_command("migrate", "realtime", "0005", verbosity=0)
    with connection.cursor() as cursor:
        for number, room in enumerate(rooms, 1):
            cursor.execute(f"{OLD_LOG}(%s, %s, %s, 3, 'abcdefgh')", [room.pk, number * 7, number])
    before = logs()
    call_command("migrate", "realtime", verbosity=0)
    assert logs() == before
    assert {log.life for log in Log.objects.all()} == {current_life()}
    Entry.objects.create(
        log=Log.objects.create(name="order/7", last_seq=1),
        seq=1,
        changed_seq=1,
        type="paid",
        data="{}",
        at=now(),
        created_at=now(),
    )
    call_command("migrate", "realtime", "0005", verbosity=0)
    assert logs() == before
    call_command("migrate", "realtime", verbosity=0)
    assert logs() == before


def test_the_way_back_refuses_to_lose_messages_without_a_position() -> None:
    room = Room.objects.create(slug="one")
    waiting = Pending.objects.create(room_id=room.pk, kind=Pending.Kind.MESSAGE, data="{}")
    Pending.objects.create(topic="order/7", kind=Pending.Kind.EVENT, type="paid", data="{}")
    try:
        with pytest.raises(IrreversibleError, match=r"Messages of the site \(1\) have no position"):
            call_command("migrate", "realtime", "0005", verbosity=0)
        waiting.delete()
        call_command("migrate", "realtime", "0005", verbosity=0)
    finally:
        call_command("migrate", "realtime", verbosity=0)


def test_the_way_back_waits_for_a_writer_that_holds_a_log(is_postgres: bool) -> None:
    """Writers lock a log and then read what is pending: the other order would be a deadlock."""
    if not is_postgres:
        pytest.skip("SQLite has no locks of tables")
    log = Log.objects.create(room=Room.objects.create(slug="one"))
    is_locked = Event()

    def write() -> None:
        with transaction.atomic():
            Log.objects.select_for_update(no_key=True).get(pk=log.pk)
            is_locked.set()
            until_migration_waits()
            assert not Pending.objects.exists()

    def migrate() -> None:
        is_locked.wait(10)
        call_command("migrate", "realtime", "0005", verbosity=0)

    try:
        together([write, migrate])
    finally:
        call_command("migrate", "realtime", verbosity=0)


def until_migration_waits() -> None:
    query = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'realtime_head'::regclass"
        " AND mode = 'AccessExclusiveLock' AND NOT granted"
    )
    deadline = monotonic() + 10
    with connection.cursor() as cursor:
        while monotonic() < deadline:
            cursor.execute(query)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("the migration does not wait for the log")


def test_a_long_reading_transaction_lets_no_other_reader_wait_behind_a_migration(
    is_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that waits lets all later ones wait too."""
    if not is_postgres:
        pytest.skip("SQLite has no locks of tables")
    monkeypatch.setattr(_locks, "TRIES", 1)
    call_command("migrate", "realtime", "0006", verbosity=0)
    is_read, is_over = Event(), Event()

    def read_long() -> None:
        with transaction.atomic():
            Room.objects.values_list("pk").first()
            is_read.set()
            is_over.wait(10)

    def migrate() -> None:
        is_read.wait(10)
        try:
            with pytest.raises(OperationalError, match="lock timeout"):
                call_command("migrate", "realtime", verbosity=0)
        finally:
            is_over.set()

    try:
        together([read_long, migrate])
    finally:
        call_command("migrate", "realtime", verbosity=0)


def test_a_process_of_the_last_release_can_write_beside_new_ones() -> None:
    """Its statements name the columns that it knows, and its locks the rooms."""
    room = Room.objects.create(slug="one")
    with connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute(f"{OLD_LOG}(%s, 0, 0, 0, 'abcdefgh') ON CONFLICT DO NOTHING", [room.pk])
        cursor.execute("UPDATE realtime_head SET last_seq = 4 WHERE room_id = %s", [room.pk])
    log = Log.objects.get(room=room)
    assert (log.last_seq, log.life, log.name) == (4, "", None)


OLD_PRESENCE = "INSERT INTO realtime_presence (connection_id, room_id, user_key, username) VALUES "


def test_presences_in_rooms_survive_the_way_back_alone() -> None:
    """A process of the last release can write them beside new ones, and knows no topics."""
    room = Room.objects.create(slug="one")
    node = Node.objects.create(id="n", pid=1, expires_at=now())
    client = Connection.objects.create(id="n.1", node=node, user_key="1")
    with connection.cursor() as cursor:
        cursor.execute(f"{OLD_PRESENCE}(%s, %s, '1', 'ada')", [client.pk, room.pk])
    Presence.objects.create(connection=client, topic="order/7", user_key="1")
    assert {row.place for row in Presence.objects.all()} == {room.pk, "order/7"}
    call_command("migrate", "realtime", "0007", verbosity=0)
    call_command("migrate", "realtime", verbosity=0)
    assert [row.place for row in Presence.objects.all()] == [room.pk]
