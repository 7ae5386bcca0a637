"""The presence writer: rows in batches, announcements after the commit, a rebuild after a loss."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.connections import presence as module
from realtime.engine.connections.connection import Connection
from realtime.engine.connections.presence import PresenceWriter
from realtime.engine.database.executor import Database
from realtime.models import Connection as ConnectionRow
from realtime.models import Node, Presence, Room
from realtime.store import presence
from realtime.store.accounts.identity import Identity
from realtime.store.presence import Announcement, LiveNode
from tests.engine.ends import connection_of, in_thread

T = TypeVar("T")
NODE = LiveNode("node-1", "host", 1, 30)
ADA, BOB = Identity("guest:a", "Ada"), Identity("guest:b", "Bob")


class Counting(Database):
    """The real database; it counts the batches, and is away for some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.away = 0

    async def pulse(self, function: Callable[..., T], *args: Any) -> T:
        self.batches += 1
        if self.away:
            self.away -= 1
            raise OperationalError("the server closed the connection unexpectedly")
        return await super().pulse(function, *args)


class Desk:
    """A presence writer, and its announcements as ("+" or "-", name)."""

    def __init__(self) -> None:
        self.db = Counting()
        self.announced: list[tuple[str, str]] = []
        self.presence = PresenceWriter(NODE, self.db, self._announce)

    def _announce(self, announcement: Announcement) -> None:
        self.announced += [("+", person.username) for person in announcement.joined]
        self.announced += [("-", person.username) for person in announcement.left]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.005)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    settings.REALTIME = {"PRESENCE_GRACE_SECONDS": 0}


@pytest.fixture
def room(either: str, make_room: Callable[[str], Room]) -> Room:
    return make_room("general")


@pytest.fixture
async def desk(room: Room) -> AsyncIterator[Desk]:
    made = Desk()
    made.presence.start()
    made.presence.rebuild()
    await eventually(lambda: made.db.batches == 1 and not made.presence._lost)
    yield made
    await made.presence.stop()
    await made.db.stop()


async def names() -> list[tuple[str, str]]:
    """The users in a room by the database, with their connections."""
    rows = Presence.objects.order_by("connection").values_list("connection", "username")
    return await in_thread(lambda: list(rows))


def come(desk: Desk, room: Room, name: str, identity: Identity) -> Connection:
    connection = connection_of(identity, "192.0.2.1", name)
    desk.presence.connect(connection)
    desk.presence.join(connection, room.pk)
    return connection


async def test_a_join_is_written_and_announced(desk: Desk, room: Room) -> None:
    """One batch for many, each announced once."""
    before = desk.db.batches
    come(desk, room, "node-1.1", ADA)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.announced) == 2)
    assert sorted(desk.announced) == [("+", "Ada"), ("+", "Bob")]
    assert desk.db.batches == before + 1
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]


async def test_coming_and_going_within_a_batch_is_nothing(desk: Desk, room: Room) -> None:
    """The two cancel out, and neither is announced."""
    ada = come(desk, room, "node-1.1", ADA)
    desk.presence.leave(ada, room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: desk.announced)
    assert desk.announced == [("+", "Bob")]
    assert await names() == [("node-1.2", "Bob")]


async def test_a_leave_is_announced_when_the_user_has_gone(desk: Desk, room: Room) -> None:
    """Also where the leave comes while the row is being written."""
    ada = come(desk, room, "node-1.1", ADA)
    await eventually(lambda: not desk.presence._batch)
    desk.presence.leave(ada, room.pk)
    await eventually(lambda: ("-", "Ada") in desk.announced)
    assert await names() == []


async def test_several_tabs_are_one_user(desk: Desk, room: Room) -> None:
    """Announced with the first tab and with the last."""
    first = come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced == [("+", "Ada")])
    second = come(desk, room, "node-1.2", ADA)
    bob = come(desk, room, "node-1.3", BOB)
    await eventually(lambda: len(desk.announced) == 2)
    desk.presence.leave(first, room.pk)
    desk.presence.leave(bob, room.pk)
    await eventually(lambda: len(desk.announced) == 3)
    desk.presence.leave(second, room.pk)
    await eventually(lambda: len(desk.announced) == 4)
    assert desk.announced == [("+", "Ada"), ("+", "Bob"), ("-", "Bob"), ("-", "Ada")]


async def test_entering_twice_is_one_row(desk: Desk, room: Room) -> None:
    """A refreshed join changes nothing."""
    ada = come(desk, room, "node-1.1", ADA)
    desk.presence.join(ada, room.pk)
    await eventually(lambda: desk.announced)
    desk.presence.join(ada, room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.announced) == 2)
    assert desk.announced == [("+", "Ada"), ("+", "Bob")]


async def test_what_is_not_open_cannot_enter(desk: Desk, room: Room) -> None:
    """A connection that has just closed leaves no ghost."""
    gone = connection_of(ADA, "", "node-1.9")
    desk.presence.join(gone, room.pk)
    desk.presence.leave(gone, room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: desk.announced)
    assert await names() == [("node-1.2", "Bob")]


async def test_a_closed_connection_leaves_all_its_rooms(desk: Desk, room: Room) -> None:
    """Its row and its presences go together."""
    ada = come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced)
    desk.presence.disconnect(ada)
    await eventually(lambda: desk.announced[-1] == ("-", "Ada"))
    assert await in_thread(ConnectionRow.objects.count) == 0


async def test_a_connection_that_closes_at_once_leaves_nothing(desk: Desk, room: Room) -> None:
    """Written or not, in the end there is no row and no member."""
    ada = come(desk, room, "node-1.1", ADA)
    desk.presence.disconnect(ada)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: ("+", "Bob") in desk.announced)
    await eventually(lambda: not desk.presence._batch)
    come(desk, room, "node-1.3", ADA)
    await eventually(lambda: desk.announced[-1] == ("+", "Ada"))
    assert await in_thread(ConnectionRow.objects.count) == 2


async def test_a_user_who_reconnects_at_once_never_left(
    desk: Desk, room: Room, settings: Settings
) -> None:
    """Within the grace, a reload is not announced."""
    settings.REALTIME = {"PRESENCE_GRACE_SECONDS": 0.05}
    ada = come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced)
    desk.presence.disconnect(ada)
    come(desk, room, "node-1.2", ADA)
    await eventually(lambda: "node-1.1" not in desk.presence._connections)
    come(desk, room, "node-1.3", BOB)
    await eventually(lambda: ("+", "Bob") in desk.announced)
    assert desk.announced == [("+", "Ada"), ("+", "Bob")]
    assert await names() == [("node-1.2", "Ada"), ("node-1.3", "Bob")]


async def test_a_new_name_is_written_over_the_old_one(desk: Desk, room: Room) -> None:
    """The row stays the same connection."""
    desk.presence.connect(connection_of(ADA, "192.0.2.1", "node-1.1"))
    await eventually(lambda: not desk.presence._batch)
    renamed = Identity("guest:a", "Ada L.")
    come(desk, room, "node-1.1", renamed)
    await eventually(lambda: desk.announced)
    assert await names() == [("node-1.1", "Ada L.")]
    rows = await in_thread(lambda: list(ConnectionRow.objects.values_list("username", "address")))
    assert rows == [("Ada L.", "192.0.2.1")]


# When writing fails.


async def test_a_database_that_was_away_gets_the_whole_truth(desk: Desk, room: Room) -> None:
    """A join during the outage is announced once it is written."""
    desk.db.away = 3
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced)
    assert desk.announced == [("+", "Ada")]
    assert await names() == [("node-1.1", "Ada")]


async def test_a_leave_while_the_database_was_away_is_announced(desk: Desk, room: Room) -> None:
    """Otherwise its peers would show a ghost."""
    ada = come(desk, room, "node-1.1", ADA)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.announced) == 2)
    desk.db.away = 2
    desk.presence.disconnect(ada)
    await eventually(lambda: ("-", "Ada") in desk.announced)
    assert await names() == [("node-1.2", "Bob")]


async def test_a_reaped_node_writes_its_rows_again(desk: Desk, room: Room) -> None:
    """Another node has reaped it; all its live rows come back, and are announced."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced == [("+", "Ada")])
    other = LiveNode("node-2", "host", 2, 30)
    await in_thread(lambda: presence.reap("node-1", other, even_if_alive=True))
    await in_thread(presence.delete_node, "node-1", other)
    assert await names() == []
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.announced) == 3)
    assert sorted(desk.announced) == [("+", "Ada"), ("+", "Ada"), ("+", "Bob")]
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]
    assert await in_thread(Node.objects.count) == 1


async def test_rebuilding_without_a_cause_harms_nothing(desk: Desk, room: Room) -> None:
    """Two announcements are harmless, a lost row is not."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.announced)
    desk.presence.rebuild()
    await eventually(lambda: not desk.presence._lost)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: ("+", "Bob") in desk.announced)
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]
    assert ("-", "Ada") not in desk.announced
