"""A client that asks for much gets it as fast as it reads, and is not closed as slow."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from harness.client.encoding import Object
from harness.client.in_process import Socket
from harness.client.plain import PlainSocket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing
from realtime.consumers import Command, Consumer, Reply, RoomConsumer, command, frames
from realtime.engine.connections import connection, outbox
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.testing.running import Quiet
from realtime.topics import Command as TopicCommand
from realtime.topics import Event, Topic
from realtime.topics import command as call
from realtime.topics.registry import registry

LIMITS = {"OUTBOX_BYTES": 64 * 1024, "OUTBOX_FRAMES": 10, "GUESTS": True, **UNLIMITED}
TOPICS = 6


class Gate:
    """Lets a consumer send one message for each that the client has read."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._turns = asyncio.Semaphore(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def one_by_one(message: Object) -> None:
            await self._turns.acquire()
            await send(message)

        await self._consumer(scope, receive, one_by_one)

    def read(self) -> None:
        self._turns.release()


async def idle() -> None:
    """Let the server do what it can do before the client reads."""
    running = await Engine.current()
    [one] = running.connections.values()
    await eventually(lambda: not one.outbox.is_free)
    for _ in range(20):
        await Quiet.of(running).wait()


class Slow(Socket):
    """A client that reads one frame at a time."""

    def __init__(self, consumer: Any = RoomConsumer, **scope: Any) -> None:
        self.gate = Gate(consumer.as_asgi())
        super().__init__(application=self.gate, **scope)

    async def _next_frame(self, timeout: float) -> str | bytes:
        self.gate.read()
        return await super()._next_frame(timeout)


@pytest.fixture
async def limited(room: Room) -> AsyncIterator[Engine]:
    async with testing.engine(**LIMITS) as running:
        yield running


class Fill(TopicCommand):
    pass


class Text(Event):
    text: str


@pytest.fixture
async def large(limited: Engine) -> AsyncIterator[list[str]]:
    """The names of topics that have two entries of 20 kB each."""
    with registry.isolated():

        class Large(Topic):
            path = "large/<int:pk>"
            events = [Text]
            keep = timedelta(days=1)
            pk: int

            def may_subscribe(self) -> bool:
                return True

            @call
            async def fill(self, command: Fill) -> Text:
                return Text(text="x" * 40_000)

        topics = [Large(pk=number) for number in range(TOPICS)]
        for topic in topics:
            for key in "ab":
                await topic.aset(key, Text(text="x" * 20_000))
        yield [topic.name for topic in topics]


async def test_many_large_topics_come_as_fast_as_the_client_reads(
    large: list[str], ada: Any
) -> None:
    async with Slow(user=ada) as socket:
        await socket.send("subscribes", topics=[{"topic": name} for name in large], ref=1)
        await idle()
        for name in large:
            told = await socket.expect("subscribed")
            assert (told["topic"], len(told["entries"])) == (name, 2)
        assert (await socket.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("kind", ["subscribe", "history"])
async def test_commands_with_large_replies_wait_for_the_client(
    large: list[str], ada: Any, kind: str
) -> None:
    """They are sent at once, and answered in their order."""
    async with Slow(user=ada) as socket:
        for number in range(12):
            await socket.send(kind, topic=large[number % TOPICS], ref=number)
        await idle()
        refs = []
        while len(refs) < 12:
            refs.append((await socket.receive()).get("ref"))
        assert refs == list(range(12))


async def test_a_client_that_reads_nothing_is_still_closed(
    large: list[str], ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BLOCKED_SECONDS", 0.2)
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.1)
    async with Slow(user=ada) as socket:
        await socket.send("subscribes", topics=[{"topic": name} for name in large], ref=1)
        await eventually(lambda: socket.communicator.future.done())


async def test_results_of_calls_wait_for_the_client(large: list[str], ada: Any) -> None:
    async with Slow(user=ada) as socket:
        for number in range(12):
            await socket.send("call", topic=large[number % TOPICS], name="fill", ref=number)
        results = await socket.all("result", 12)
        assert sorted(one["ref"] for one in results) == list(range(12))


@pytest.fixture
def rooms(database: str) -> list[str]:
    """The slugs of rooms with two messages of 4 kB each and long titles; 20 kB with ten."""
    made = [Room.objects.create(slug=f"room-{number}") for number in range(20)]
    for room in made:
        for letter in "ab":
            push.room(room).message(letter * 4000)
    return [room.slug for room in made]


async def test_many_rooms_come_as_fast_as_the_client_reads(rooms: list[str], ada: Any) -> None:
    async with testing.engine(**LIMITS), Slow(user=ada) as socket:
        await socket.send("joins", rooms=[{"room": slug} for slug in rooms], ref=1)
        await idle()
        for slug in rooms:
            joined = await socket.expect("joined", ref=1)
            assert (joined["room"], len(joined["messages"])) == (slug, 2)


async def test_a_client_that_the_site_moves_gets_its_rooms_as_fast_as_it_reads(
    rooms: list[str], ada: Any
) -> None:
    async with testing.engine(**LIMITS), Slow(user=ada) as socket:
        for slug in rooms:
            await push.user(ada).ajoin(slug)
        await idle()
        for slug in rooms:
            joined = await socket.expect("joined")
            assert (joined["room"], len(joined["messages"])) == (slug, 2)


class Number(Command):
    number: int


class Numbered(Reply):
    number: int
    text: str


class Batched(Consumer):
    @command(batch=50, within=30)
    async def take(self, commands: list[Number]) -> list[Numbered]:
        return [Numbered(number=one.number, text="x" * 2000) for one in commands]


async def test_the_replies_to_a_batch_may_be_more_than_may_wait(limited: Engine) -> None:
    async with Slow(Batched) as socket:
        for number in range(200):
            await socket.send("number", number=number, ref=number)
        told = [await socket.expect("numbered") for _ in range(200)]
        assert [one["ref"] for one in told] == list(range(200))


class Raw(Consumer):
    @frames(batch=20, within=30)
    async def on_text(self, texts: list[str]) -> list[str]:
        return [text * 5000 for text in texts]

    async def on_bytes(self, data: bytes) -> bytes:
        return data * 5000


async def test_raw_frames_wait_for_the_client(limited: Engine) -> None:
    gate = Gate(Raw.as_asgi())
    async with PlainSocket(gate) as socket:
        for _ in range(40):
            await socket.send("a")
        for _ in range(40):
            await socket.send(b"b")
        for number in range(80):
            gate.read()
            assert await socket.receive() == ("a" * 5000 if number < 40 else b"b" * 5000)


async def test_a_client_that_has_to_acknowledge_is_read_meanwhile(
    large: list[str], ada: Any
) -> None:
    """Its server reports no backpressure, so a `pong` counts before its turn."""
    async with Socket(user=ada, asgi={"version": "3.0"}) as socket:
        await socket.send("subscribes", topics=[{"topic": name} for name in large], ref=1)
        await idle()
        names: list[str] = []
        while len(names) < TOPICS:
            item = await socket.receive()
            if item["type"] == "ping":
                await socket.send("pong", t=item["t"])
            else:
                names.append(item["topic"])
        assert names == large


async def test_a_user_who_is_sent_away_while_the_server_waits_leaves_nothing(
    large: list[str], limited: Engine, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the command is not executed."""
    for place in (outbox, connection):
        monkeypatch.setattr(place, "CLOSE_SECONDS", 0.05)
    async with Slow(user=ada) as socket:
        await socket.send("subscribes", topics=[{"topic": name} for name in large], ref=1)
        await idle()
        [one] = limited.connections.values()
        assert await push.user(ada).adisconnect()
        await eventually(lambda: not limited.connections)
        assert one.outbox.queue.size == 0
        told = [item["type"] for item in socket.arrived()]
    assert told.count("subscribed") < TOPICS


async def test_a_client_that_disconnects_while_the_server_waits_leaves_nothing(
    large: list[str], limited: Engine, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BLOCKED_SECONDS", 0.2)
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.05)
    async with Slow(user=ada) as socket:
        await socket.send("subscribes", topics=[{"topic": name} for name in large], ref=1)
        await idle()
        await socket.communicator.send_input({"type": "websocket.disconnect", "code": 1001})
        await eventually(lambda: not limited.connections)
