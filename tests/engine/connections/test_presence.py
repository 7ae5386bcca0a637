"""The presence lane: written behind in batches, told after the commit, rebuilt when lost."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings

from realtime.engine.connections import presence as module
from realtime.engine.connections.presence import PresenceWriter
from realtime.engine.database.executor import Database
from realtime.models import Connection, Node, Presence, Room
from realtime.store import presence
from realtime.store.accounts.identity import Identity
from realtime.store.presence import Announcement, LiveNode
from tests.client import eventually
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
    """A lane and what it announced, as ("+" or "-", name)."""

    def __init__(self) -> None:
        self.db = Counting()
        self.told: list[tuple[str, str]] = []
        self.lane = PresenceWriter(NODE, self.db, self._tell)

    def _tell(self, announcement: Announcement) -> None:
        self.told += [("+", person.username) for person in announcement.joined]
        self.told += [("-", person.username) for person in announcement.left]


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
    made.lane.start()
    made.lane.rebuild()
    await eventually(lambda: made.db.batches == 1 and not made.lane._lost)
    yield made
    await made.lane.stop()
    await made.db.stop()


async def names() -> list[tuple[str, str]]:
    """Who is in a room by the database, with the connection."""
    rows = Presence.objects.order_by("connection").values_list("connection", "username")
    return await in_thread(lambda: list(rows))


def come(desk: Desk, room: Room, connection: str, who: Identity) -> None:
    desk.lane.connect(connection_of(who, "192.0.2.1", connection))
    desk.lane.join(connection, room.pk)


async def test_who_comes_is_written_and_told(desk: Desk, room: Room) -> None:
    """One batch for many, each announced once."""
    before = desk.db.batches
    come(desk, room, "node-1.1", ADA)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.told) == 2)
    assert sorted(desk.told) == [("+", "Ada"), ("+", "Bob")]
    assert desk.db.batches == before + 1
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]


async def test_coming_and_going_within_a_batch_is_nothing(desk: Desk, room: Room) -> None:
    """The two cancel out, and nobody hears of them."""
    desk.lane.connect(connection_of(ADA, "", "node-1.1"))
    desk.lane.join("node-1.1", room.pk)
    desk.lane.leave("node-1.1", room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: desk.told)
    assert desk.told == [("+", "Bob")]
    assert await names() == [("node-1.2", "Bob")]


async def test_who_leaves_is_told_once_gone(desk: Desk, room: Room) -> None:
    """Also where the leave comes while the row is being written."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: not desk.lane._batch)
    desk.lane.leave("node-1.1", room.pk)
    await eventually(lambda: ("-", "Ada") in desk.told)
    assert await names() == []


async def test_several_tabs_are_one_user(desk: Desk, room: Room) -> None:
    """Told with the first tab and with the last."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told == [("+", "Ada")])
    come(desk, room, "node-1.2", ADA)
    come(desk, room, "node-1.3", BOB)
    await eventually(lambda: len(desk.told) == 2)
    desk.lane.leave("node-1.1", room.pk)
    desk.lane.leave("node-1.3", room.pk)
    await eventually(lambda: len(desk.told) == 3)
    desk.lane.leave("node-1.2", room.pk)
    await eventually(lambda: len(desk.told) == 4)
    assert desk.told == [("+", "Ada"), ("+", "Bob"), ("-", "Bob"), ("-", "Ada")]


async def test_entering_twice_is_one_row(desk: Desk, room: Room) -> None:
    """A refreshed join changes nothing."""
    come(desk, room, "node-1.1", ADA)
    desk.lane.join("node-1.1", room.pk)
    await eventually(lambda: desk.told)
    desk.lane.join("node-1.1", room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.told) == 2)
    assert desk.told == [("+", "Ada"), ("+", "Bob")]


async def test_what_is_not_open_cannot_enter(desk: Desk, room: Room) -> None:
    """A connection that has just closed leaves no ghost."""
    desk.lane.join("node-1.9", room.pk)
    desk.lane.leave("node-1.9", room.pk)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: desk.told)
    assert await names() == [("node-1.2", "Bob")]


async def test_a_closed_connection_leaves_all_its_rooms(desk: Desk, room: Room) -> None:
    """Its row and its presences go together."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told)
    desk.lane.disconnect("node-1.1")
    await eventually(lambda: desk.told[-1] == ("-", "Ada"))
    assert await in_thread(Connection.objects.count) == 0


async def test_a_connection_that_closes_at_once_leaves_nothing(desk: Desk, room: Room) -> None:
    """Written or not, in the end there is no row and no member."""
    come(desk, room, "node-1.1", ADA)
    desk.lane.disconnect("node-1.1")
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: ("+", "Bob") in desk.told)
    await eventually(lambda: not desk.lane._batch)
    come(desk, room, "node-1.3", ADA)
    await eventually(lambda: desk.told[-1] == ("+", "Ada"))
    assert await in_thread(Connection.objects.count) == 2


async def test_somebody_who_comes_right_back_was_never_gone(
    desk: Desk, room: Room, settings: Settings
) -> None:
    """Within the grace a reload is told to nobody."""
    settings.REALTIME = {"PRESENCE_GRACE_SECONDS": 0.05}
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told)
    desk.lane.disconnect("node-1.1")
    come(desk, room, "node-1.2", ADA)
    await eventually(lambda: "node-1.1" not in desk.lane._connections)
    come(desk, room, "node-1.3", BOB)
    await eventually(lambda: ("+", "Bob") in desk.told)
    assert desk.told == [("+", "Ada"), ("+", "Bob")]
    assert await names() == [("node-1.2", "Ada"), ("node-1.3", "Bob")]


async def test_a_new_name_is_written_over_the_old_one(desk: Desk, room: Room) -> None:
    """The row stays the same connection."""
    desk.lane.connect(connection_of(ADA, "192.0.2.1", "node-1.1"))
    await eventually(lambda: not desk.lane._batch)
    renamed = Identity("guest:a", "Ada L.")
    desk.lane.connect(connection_of(renamed, "192.0.2.1", "node-1.1"))
    desk.lane.join("node-1.1", room.pk)
    await eventually(lambda: desk.told)
    assert await names() == [("node-1.1", "Ada L.")]
    rows = await in_thread(lambda: list(Connection.objects.values_list("username", "address")))
    assert rows == [("Ada L.", "192.0.2.1")]


# When writing fails.


async def test_a_database_that_was_away_gets_the_whole_truth(desk: Desk, room: Room) -> None:
    """Who came meanwhile is told once it is written."""
    desk.db.away = 3
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told)
    assert desk.told == [("+", "Ada")]
    assert await names() == [("node-1.1", "Ada")]


async def test_who_left_while_the_database_was_away_is_told_to_have_left(
    desk: Desk, room: Room
) -> None:
    """Otherwise its peers would show a ghost."""
    come(desk, room, "node-1.1", ADA)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.told) == 2)
    desk.db.away = 2
    desk.lane.disconnect("node-1.1")
    await eventually(lambda: ("-", "Ada") in desk.told)
    assert await names() == [("node-1.2", "Bob")]


async def test_a_node_that_was_taken_for_dead_writes_itself_anew(desk: Desk, room: Room) -> None:
    """Another one has buried it; all its live rows come back, and are told."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told == [("+", "Ada")])
    other = LiveNode("node-2", "host", 2, 30)
    await in_thread(lambda: presence.reap("node-1", other, even_if_alive=True))
    await in_thread(presence.delete_node, "node-1", other)
    assert await names() == []
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: len(desk.told) == 3)
    assert sorted(desk.told) == [("+", "Ada"), ("+", "Ada"), ("+", "Bob")]
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]
    assert await in_thread(Node.objects.count) == 1


async def test_rebuilding_without_a_cause_harms_nothing(desk: Desk, room: Room) -> None:
    """Two announcements are harmless, a lost row is not."""
    come(desk, room, "node-1.1", ADA)
    await eventually(lambda: desk.told)
    desk.lane.rebuild()
    await eventually(lambda: not desk.lane._lost)
    come(desk, room, "node-1.2", BOB)
    await eventually(lambda: ("+", "Bob") in desk.told)
    assert await names() == [("node-1.1", "Ada"), ("node-1.2", "Bob")]
    assert ("-", "Ada") not in desk.told
