"""What is published reaches the members of a topic, stored or not."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from harness.site import UNLIMITED
from realtime import testing
from realtime.engine.engine import Engine
from realtime.testing import Client, connect
from realtime.topics import Event, Topic

ENCODINGS = ["json", "ndjson", "msgpack"]


class Moved(Event):
    """An event."""

    x: int
    name: str = "é"


class Cursor(Topic):
    """Stores nothing."""

    path = "delivered-cursor"
    events = [Moved]

    def may_subscribe(self) -> bool:
        return True


class Game(Cursor):
    """Stores its events."""

    path = "delivered-game"
    keep = timedelta(days=1)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[Engine]:
    async with testing.engine(GUESTS=True, **UNLIMITED) as running:
        yield running


async def member(engine: Engine, socket: Client, topic: Topic) -> None:
    """Make the client of a socket a member of a topic."""
    opened = await engine.hub.open_topic(topic.name)
    engine.connections[socket.welcome["connection"]].subscribe(opened)


def publish_twice(topic: Topic) -> None:
    """In one transaction, of which a part is rolled back."""
    with transaction.atomic():
        topic.publish(Moved(1))
        with transaction.atomic():
            topic.publish(Moved(2))
            transaction.set_rollback(True)
        topic.publish_many([Moved(3), Moved(4, "a\n")])


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_an_event_that_is_not_stored_is_sent_once(engine: Engine, encoding: str) -> None:
    """After the commit, and not at all after a rollback."""
    async with connect(encoding=encoding) as socket:
        await member(engine, socket, Cursor())
        await sync_to_async(publish_twice)(Cursor())
        handover = await Cursor().apublish(Moved(5))
        assert handover.is_handed_over
        found = [await socket.next("event") for _ in range(4)]
        assert found == [
            {"type": "event", "topic": "delivered-cursor", "name": "moved", "data": data}
            for data in (
                {"x": 1, "name": "é"},
                {"x": 3, "name": "é"},
                {"x": 4, "name": "a\n"},
                {"x": 5, "name": "é"},
            )
        ]


async def test_async_code_waits_for_no_thread(engine: Engine) -> None:
    """The event loop itself sends what is not stored, while sync code is busy."""
    async with connect() as socket:
        await member(engine, socket, Cursor())
        free = threading.Event()
        busy = asyncio.create_task(sync_to_async(free.wait)())
        try:
            async with asyncio.timeout(2):
                assert (await Cursor().apublish(Moved(1))).is_handed_over
                assert (await Cursor().apublish_many([Moved(2), Moved(3)])).is_handed_over
        finally:
            free.set()
            await busy
        found = [await socket.next("event") for _ in range(3)]
        assert [one["data"]["x"] for one in found] == [1, 2, 3]


@pytest.mark.parametrize("topic", [Cursor(), Game()])
async def test_no_events_are_nothing_to_publish(engine: Engine, topic: Topic) -> None:
    """As a queryset without rows gives none."""
    assert (await topic.apublish_many([])).is_handed_over
    assert (await sync_to_async(topic.publish_many)([])).is_handed_over


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_stored_event_has_its_position(engine: Engine, encoding: str) -> None:
    async with connect(encoding=encoding) as socket:
        await member(engine, socket, Game())
        await sync_to_async(publish_twice)(Game())
        await Game().apublish(Moved(5))
        await Game().aset("ball", Moved(6))
        await Game().adelete("ball")
        found = [await socket.next("event") for _ in range(6)]
        assert [one["seq"] for one in found] == [1, 2, 3, 4, 5, 6]
        assert [one.get("data", {}).get("x") for one in found] == [1, 3, 4, 5, 6, None]
        assert [one.get("key") for one in found[4:]] == ["ball", "ball"]
        assert found[5]["deleted"] is True
        assert [one.get("epoch") is not None for one in found] == [True] + [False] * 5
