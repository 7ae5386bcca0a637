"""The numbers of a process are what its clients have counted."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model

from realtime.counts import counts
from realtime.engine import numbers
from realtime.engine.engine import Engine
from realtime.engine.numbers import Numbers, Totals
from realtime.testing import Refused, connect
from realtime.topics import Event, Topic
from realtime.wire.errors import Disconnect
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]


class Step(Event):
    number: int


class StepTopic(Topic):
    path = "numbers/steps"
    events = [Step]
    keep = timedelta(days=1)

    def may_subscribe(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    counts.reset()


def totals(engine: Engine) -> Totals:
    return numbers.read(engine).totals


async def test_connections_are_counted_by_how_they_ended(engine: Engine) -> None:
    ada = await get_user_model().objects.acreate_user("ada")
    async with connect(ada), connect():
        found = numbers.read(engine).gauges
        assert (found.connections, found.users, found.guests) == (2, 2, 1)
        assert totals(engine).opened == 2
    with pytest.raises(Disconnect):
        async with connect(token="wrong"):
            pass
    assert numbers.read(engine).gauges.connections == 0
    assert totals(engine).closed == {"1000": 2}
    assert totals(engine).refused == {"unauthenticated": 1}


async def test_messages_are_counted_as_the_clients_have_seen_them(engine: Engine) -> None:
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        await one.settled()
        before = totals(engine)
        for number in range(3):
            await one.message("general", str(number))
        await other.next("message", content="2")
        await one.settled()
        after, gauges = totals(engine), numbers.read(engine).gauges
        assert (gauges.rooms, gauges.topics, gauges.subscriptions) == (1, 0, 2)
        assert after.commands == after.frames_received >= before.commands + 3
        assert after.deliveries - before.deliveries == 6
        assert sum(after.acks.buckets) - sum(before.acks.buckets) == 3
        assert after.frames_sent - before.frames_sent >= 6
        assert after.bytes_sent - before.bytes_sent > 100


async def test_errors_are_counted_by_their_code(engine: Engine) -> None:
    async with connect() as client:
        with pytest.raises(Refused):
            await client.join("nowhere")
    assert totals(engine).errors == {"unknown_room": 1}


async def test_published_events_are_counted(engine: Engine) -> None:
    async with connect() as client:
        await client.subscribe(StepTopic())
        await StepTopic().apublish(Step(number=1))
        await client.next("event")
    assert (totals(engine).published, totals(engine).deliveries) == (1, 1)


def test_a_process_without_sockets_has_numbers_too(database: str) -> None:
    StepTopic().publish(Step(number=1))
    found = numbers.read(None)
    assert (found.node, found.gauges.connections, found.totals.published) == ("", 0, 1)


async def test_a_process_that_drains_is_shown_as_one_that_stops(engine: Engine) -> None:
    assert not numbers.read(engine).is_stopping
    await engine.drain(0)
    assert (numbers.read(engine).is_stopping, numbers.read(engine).is_draining) == (True, True)


def test_the_numbers_go_to_other_processes_as_json() -> None:
    found: Any = numbers.read(None)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Numbers) == found


def test_each_number_that_is_counted_is_read() -> None:
    assert set(Totals.__struct_fields__) == set(counts.__slots__)
