"""A change of rights holds soon, also where the site takes long to decide on many members."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.engine.engine import Engine
from realtime.store.accounts.identity import Identity
from realtime.topics import Event, Topic
from realtime.topics.registry import Registry
from realtime.topics.subscriptions import Subscriptions
from tests.engine.ends import End

MEMBERS = 2000


class Moved(Event):
    """An event."""

    x: int


class Slow(Topic):
    """It decides on one member after the other, and waits for each as long as the test wants."""

    path = "slow"
    events = [Moved]
    keep = timedelta(days=1)
    gate = threading.Event()
    allowed_users: frozenset[str] = frozenset()

    def may_subscribe(self) -> bool:
        Slow.gate.wait(20)
        return self.identity.user_id in Slow.allowed_users


class Member(End):
    """A connection that is subscribed to `Slow`."""

    def __init__(self, engine: Engine, number: int) -> None:
        super().__init__(f"n.{number}")
        self.user_id = str(number)
        self.connection.identity = Identity(self.user_id, f"user {number}")
        self.subscriptions = Subscriptions(engine, self.connection)

    def on_topic_rights_changed(self, name: str) -> None:
        self.subscriptions.recheck(name)

    def moves(self) -> list[int]:
        return [item["data"]["x"] for item in self.kinds("event")]


@pytest.fixture
async def engine(database: str) -> AsyncIterator[Engine]:
    async with testing.engine(DB_THREADS=2, **UNLIMITED) as running:
        yield running


@pytest.fixture
async def members(engine: Engine, classes: Registry) -> AsyncIterator[list[Member]]:
    classes.add(Slow)
    made = [Member(engine, number) for number in range(MEMBERS)]
    Slow.allowed_users = frozenset(one.user_id for one in made)
    Slow.gate.set()
    await asyncio.gather(*(one.subscriptions.enter(Slow(), since=None, history=0) for one in made))
    yield made
    Slow.gate.set()
    for one in made:
        one.subscriptions._close(one.connection)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_nothing_comes_a_second_after_a_change_until_the_site_has_decided(
    engine: Engine, members: list[Member]
) -> None:
    """Then those who may stay get it all, in order, and the others nothing."""
    Slow.allowed_users = frozenset(str(number) for number in range(0, MEMBERS, 2))
    Slow.gate.clear()
    await Slow().arefresh_rights()
    await asyncio.sleep(1)
    for x in (1, 2, 3):
        await Slow().apublish(Moved(x))
    topic = await engine.hub.open_topic("slow")
    lane = topic.lane(members[0].connection.codec)
    await eventually(lambda: lane.position == 3)
    assert {tuple(one.moves()) for one in members} == {()}
    Slow.gate.set()
    await eventually(lambda: all(one.moves() or one.kinds("removed") for one in members))
    await Slow().apublish(Moved(4))
    await eventually(lambda: lane.position == 4 and members[-2].moves() == [1, 2, 3, 4])
    assert {tuple(one.moves()) for one in members[::2]} == {(1, 2, 3, 4)}
    assert {tuple(one.moves()) for one in members[1::2]} == {()}
    assert all(len(one.kinds("removed")) == 1 for one in members[1::2])
