"""Which rooms have users: told once, by one of all processes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from realtime.models import Connection, Node, Occupancy, Presence, Room
from realtime.store import occupancy
from realtime.store.occupancy import Turnover

NOTHING = Turnover([], [])

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def rooms(database: str) -> list[Room]:
    return [Room.objects.create(slug=slug) for slug in ("a", "b")]


@pytest.fixture
def connection(rooms: list[Room]) -> Connection:
    node = Node.objects.create(id="n", pid=1, expires_at=timezone.now() + timedelta(minutes=1))
    return Connection.objects.create(id="n.1", node=node, user_key="7")


def enter(connection: Connection, room: Room) -> Presence:
    return Presence.objects.create(connection=connection, room=room, user_key="7")


def test_the_first_and_the_last_presence_are_told_once(
    connection: Connection, rooms: list[Room]
) -> None:
    assert occupancy.settle() == NOTHING
    row = enter(connection, rooms[0])
    assert occupancy.settle() == Turnover(["a"], [])
    assert occupancy.settle() == NOTHING
    row.delete()
    enter(connection, rooms[1])
    assert occupancy.settle() == Turnover(["b"], ["a"])


def test_only_the_given_rooms_are_compared(connection: Connection, rooms: list[Room]) -> None:
    for room in rooms:
        enter(connection, room)
    assert occupancy.settle([rooms[1].pk]) == Turnover(["b"], [])
    assert occupancy.settle([]) == NOTHING
    assert occupancy.settle() == Turnover(["a"], [])


@pytest.mark.parametrize("change", [{"reaper": "m"}, {"expires_at": timezone.now()}])
def test_clients_of_a_dead_process_do_not_count(
    connection: Connection, rooms: list[Room], change: dict[str, object]
) -> None:
    enter(connection, rooms[0])
    occupancy.settle()
    Node.objects.update(**change)
    assert occupancy.settle() == Turnover([], ["a"])


def test_a_deleted_room_is_not_told(connection: Connection, rooms: list[Room]) -> None:
    enter(connection, rooms[0])
    occupancy.settle()
    rooms[0].delete()
    assert occupancy.settle() == NOTHING
    assert not Occupancy.objects.exists()


def test_of_several_processes_one_gets_it(connection: Connection, rooms: list[Room]) -> None:
    """Whichever is first."""

    def settle(_: int) -> Turnover:
        try:
            return occupancy.settle()
        finally:
            connections.close_all()

    rows = [enter(connection, room) for room in rooms]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(settle, range(8)))
        assert sorted(slug for one in found for slug in one.occupied) == ["a", "b"]
        for row in rows:
            row.delete()
        found = list(pool.map(settle, range(8)))
        assert sorted(slug for one in found for slug in one.vacated) == ["a", "b"]


def subscribe(connection: Connection, topic: str) -> Presence:
    return Presence.objects.create(connection=connection, topic=topic, user_key="7")


def test_the_first_and_the_last_subscriber_of_a_topic_are_told_once(
    connection: Connection, rooms: list[Room]
) -> None:
    """Rooms are apart."""
    enter(connection, rooms[0])
    row = subscribe(connection, "order/7")
    assert occupancy.settle_topics(["order/8"]) == NOTHING
    assert occupancy.settle_topics(["order/7"]) == Turnover(["order/7"], [])
    assert occupancy.settle_topics() == NOTHING
    row.delete()
    subscribe(connection, "order/8")
    assert occupancy.settle_topics([]) == NOTHING
    assert occupancy.settle_topics() == Turnover(["order/8"], ["order/7"])
    assert occupancy.settle() == Turnover(["a"], [])


def test_subscribers_of_a_dead_process_do_not_count(connection: Connection) -> None:
    subscribe(connection, "order/7")
    occupancy.settle_topics()
    Node.objects.update(expires_at=timezone.now())
    assert occupancy.settle_topics() == Turnover([], ["order/7"])


def test_of_several_processes_one_gets_a_topic(connection: Connection) -> None:
    def settle(_: int) -> Turnover:
        try:
            return occupancy.settle_topics()
        finally:
            connections.close_all()

    row = subscribe(connection, "order/7")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(settle, range(8)))
        assert [name for one in found for name in one.occupied] == ["order/7"]
        row.delete()
        found = list(pool.map(settle, range(8)))
        assert [name for one in found for name in one.vacated] == ["order/7"]
