"""Spans from a publish to its delivery, in one process and over the layer."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing
from realtime.consumers import Command, Consumer
from realtime.consumers import command as own_command
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.testing import Client, connect
from realtime.topics import Command as TopicCommand
from realtime.topics import Event, Topic, command
from tests.traces import Recorded, attributes, destination, is_child, recorded

SECRET = "not for a trace"


class Paid(Event):
    """An event."""

    note: str = SECRET


class Pay(TopicCommand):
    """A command of the topic."""

    note: str = SECRET


class Order(Topic):
    """Stores its events."""

    path = "traced/<int:pk>"
    events = [Paid]
    keep = timedelta(days=1)
    pk: int

    def may_subscribe(self) -> bool:
        return True

    @command
    def pay(self, command: Pay) -> None:
        self.publish(Paid(command.note))


class Loose(Topic):
    """Stores nothing."""

    path = "traced-loose"
    events = [Paid]

    def may_subscribe(self) -> bool:
        return True

    @command
    async def pay(self, command: Pay) -> None:
        await self.apublish(Paid(command.note))


@pytest.fixture(autouse=True)
def topics(classes: Any) -> None:
    for one in (Order, Loose):
        classes.add(one)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[Engine]:
    async with testing.engine(GUESTS=True, **UNLIMITED) as running:
        yield running


@pytest.fixture
def record() -> Iterator[Recorded]:
    with recorded() as found:
        yield found
        assert SECRET not in "".join(one.to_json() for one in found.all)


@asynccontextmanager
async def subscribed(topic: Topic) -> AsyncIterator[Client]:
    async with connect() as socket:
        await socket.subscribe(topic)
        yield socket


async def delivered(record: Recorded, number: int = 1) -> list[ReadableSpan]:
    await eventually(lambda: len(record.named("deliver")) >= number, 5, "deliveries")
    return record.named("deliver")


def check_way(record: Recorded, *operations: str) -> None:
    """Check that there is one span of each operation, and each is a child of the one before."""
    way = [record.one(one) for one in operations]
    for parent, child in pairwise(way):
        assert is_child(child, parent), child.name


def publish_in_transaction() -> None:
    with transaction.atomic():
        Order(pk=7).publish(Paid())


async def test_a_view_publishes_with_its_transaction(engine: Engine, record: Recorded) -> None:
    async with subscribed(Order(pk=7)) as socket:
        await sync_to_async(publish_in_transaction)()
        await socket.next("event")
        await delivered(record)
    check_way(record, "publish", "number", "deliver")
    published, sent = record.one("publish"), record.one("deliver")
    assert published.name == "publish traced/<int:pk>"
    assert destination(published) == destination(sent) == "traced/7"
    assert attributes(sent)["realtime.connections"] == 1
    assert attributes(sent)["realtime.encoding"] == "realtime.v1.json"


async def test_equal_ids_of_spans_store_all_events(engine: Engine, record: Recorded) -> None:
    """The SDK makes ids by the generator of `random`, which the site's code may seed."""
    state = random.getstate()
    try:
        async with subscribed(Order(pk=7)) as socket:
            for _ in range(2):
                random.seed(1)
                await sync_to_async(publish_in_transaction)()
                await socket.next("event")
    finally:
        random.setstate(state)
    first, second = record.named("publish")
    assert first.get_span_context().span_id == second.get_span_context().span_id


async def test_async_code_publishes_through_the_writer(engine: Engine, record: Recorded) -> None:
    async with subscribed(Order(pk=7)) as socket:
        await Order(pk=7).apublish(Paid())
        await socket.next("event")
        await delivered(record)
    check_way(record, "publish", "commit", "deliver")


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_not_stored_is_traced_too(
    engine: Engine, record: Recorded, is_async: bool
) -> None:
    async with subscribed(Loose()) as socket:
        await (Loose().apublish(Paid()) if is_async else sync_to_async(Loose().publish)(Paid()))
        await socket.next("event")
        await delivered(record)
    check_way(record, "publish", "deliver")
    assert destination(record.one("deliver")) == "traced-loose"


def publish_and_roll_back() -> None:
    with transaction.atomic():
        Order(pk=1).publish(Paid())
        with transaction.atomic():
            Order(pk=2).publish(Paid())
            transaction.set_rollback(True)
        Order(pk=1).publish(Paid())
    with transaction.atomic():
        Order(pk=3).publish(Paid())
        transaction.set_rollback(True)


async def test_what_is_rolled_back_is_only_published(engine: Engine, record: Recorded) -> None:
    """Nothing later has a link to it, neither after a savepoint nor after a transaction."""
    async with subscribed(Order(pk=1)) as socket:
        await sync_to_async(publish_and_roll_back)()
        for _ in range(2):
            await socket.next("event")
        await delivered(record)
    assert [destination(one) for one in record.named("publish")] == [
        "traced/1",
        "traced/2",
        "traced/1",
        "traced/3",
    ]
    first, lost, second, gone = (one.get_span_context().span_id for one in record.named("publish"))
    numbered = record.named("number")
    parents = {one.parent.span_id for one in numbered if one.parent}
    links = {link.context.span_id for one in numbered for link in one.links}
    assert parents | links == {first, second}
    assert not {lost, gone} & (parents | links)


async def test_a_batch_of_the_writer_has_one_span(engine: Engine, record: Recorded) -> None:
    async with subscribed(Order(pk=7)) as socket:
        await asyncio.gather(*(Order(pk=7).apublish(Paid(str(n))) for n in range(10)))
        for _ in range(10):
            await socket.next("event")
        await delivered(record)
    batches = record.named("commit")
    assert 1 <= len(batches) < 10
    numbers = [attributes(one).get("messaging.batch.message_count", 1) for one in batches]
    assert sum(numbers) == 10
    assert sum(1 + len(one.links) for one in batches) == 10


async def test_a_message_of_a_client_is_followed_from_its_command(
    engine: Engine, record: Recorded
) -> None:
    await Room.objects.acreate(slug="general")
    async with connect() as writer, connect(encoding="msgpack") as reader:
        for one in (writer, reader):
            await one.join("general")
        await writer.message("general", SECRET)
        await reader.next("message")
        await delivered(record, 2)
        connection_id = writer.welcome["connection"]
    check_way(record, "message", "commit")
    [command] = record.named("message")
    assert command.name == "command message"
    assert destination(command) == "general"
    assert attributes(command)["messaging.client.id"] == connection_id
    sent = record.named("deliver")
    assert {attributes(one)["realtime.encoding"] for one in sent} == {
        "realtime.v1.json",
        "realtime.v1.msgpack",
    }
    assert all(is_child(one, record.one("commit")) for one in sent)
    assert len(record.named("join")) == 2
    assert record.named("ping", "pong") == []


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_message_of_the_site_is_followed(
    engine: Engine, record: Recorded, in_transaction: bool
) -> None:
    await Room.objects.acreate(slug="general")

    def say() -> None:
        if in_transaction:
            with transaction.atomic():
                push.room("general").message(SECRET)
        else:
            push.room("general").message(SECRET)

    async with connect() as reader:
        await reader.join("general")
        await sync_to_async(say)()
        await reader.next("message")
        await delivered(record)
    is_pending = in_transaction and connection.vendor == "postgresql"
    check_way(record, "publish", *(["number"] if is_pending else []), "deliver")
    assert destination(record.one("publish")) == "general"


@pytest.mark.parametrize("topic", [Order(pk=7), Loose()])
async def test_a_call_of_a_topic_continues_in_its_handler(
    engine: Engine, record: Recorded, topic: Topic
) -> None:
    """In a thread and in the event loop."""
    async with subscribed(topic) as socket:
        await socket.call(topic, Pay())
        await socket.next("event")
        await delivered(record)
    called, published = record.one("call"), record.one("publish")
    assert is_child(published, called)
    assert attributes(called)["realtime.command"] == "pay"
    assert destination(called) == topic.name


class Own(Command):
    """A command of a site's consumer, whose fields are contents."""

    room: str


class OwnConsumer(Consumer):
    """Publishes in a thread and in the event loop."""

    @own_command
    def own(self, command: Own) -> None:
        Loose().publish(Paid(command.room))


async def test_a_command_of_the_site_continues_in_its_thread(
    engine: Engine, record: Recorded
) -> None:
    async with connect(application=OwnConsumer.as_asgi()) as socket:
        socket.send("own", room=SECRET)
        await eventually(lambda: bool(record.named("publish")), 5, "a publish")
        await eventually(lambda: bool(record.named("own")), 5, "the end of the command")
    assert is_child(record.one("publish"), record.one("own"))


async def frames_of(engine: Engine, topic: Topic) -> list[dict[str, Any]]:
    async with subscribed(topic) as socket:
        await sync_to_async(publish_in_transaction)()
        await Order(pk=7).apublish(Paid())
        await sync_to_async(Order(pk=7).set)("key", Paid())
        found = [await socket.next("event") for _ in range(3)]
        stored = [one.nonce for one in await Order(pk=7).ahistory(10)]
        assert stored == [None] * len(stored)
        return found


async def test_clients_get_the_same_with_and_without_spans(engine: Engine) -> None:
    topic = Order(pk=7)
    plain = await frames_of(engine, topic)
    with recorded():
        traced = await frames_of(engine, topic)
    with recorded(ALWAYS_OFF) as nothing:
        await frames_of(engine, topic)
        assert nothing.all == []

    def fixed(frame: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in frame.items() if name not in ("seq", "at", "epoch")}

    assert [fixed(one) for one in traced] == [fixed(one) for one in plain]
