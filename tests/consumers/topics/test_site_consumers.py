"""A consumer of a site may end in many ways, and nothing of its subscriptions is left."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing
from realtime.consumers.topics.site_clients import SiteClient
from realtime.consumers.topics.site_connections import SiteConnection
from realtime.consumers.topics.site_consumers import Watch
from realtime.engine.connections.connection import Connection
from realtime.engine.engine import Engine
from realtime.topics import CommandError, subscribe
from realtime.topics.subscriptions import Subscriptions
from tests.consumers.topics import mine
from tests.consumers.topics.mine import ask, gets_nothing
from tests.consumers.topics.shop import Shop

SOCKETS = 120
KINDS = (Connection, SiteClient, SiteConnection, Subscriptions, Watch)


class Ends(AsyncWebsocketConsumer):
    """Ends in the way that its address names."""

    async def connect(self) -> None:
        await getattr(self, self.scope["way"])()

    async def never_accepts(self) -> None:
        with pytest.raises(RuntimeError, match=r"await self.accept\(\)"):
            await subscribe(self, "news")
        await self.close()

    async def fails(self) -> None:
        await self.accept()
        await subscribe(self, "news")
        raise ZeroDivisionError

    async def fails_during_the_admission(self) -> None:
        await self.accept()
        self.beside = asyncio.create_task(subscribed(self))
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def closes(self) -> None:
        await self.accept()
        await subscribe(self, "news")
        await self.close()

    async def closes_during_the_admission(self) -> None:
        await self.accept()
        self.beside = asyncio.create_task(subscribed(self))
        await asyncio.sleep(0)
        await self.close()
        assert [await self.beside, await subscribed(self)] == ["unavailable"] * 2

    async def waits(self) -> None:
        await self.accept()
        await subscribe(self, "news")


async def subscribed(consumer: Any, topic: str = "news") -> str:
    """Subscribe in a task of its own; return the code of a refusal."""
    try:
        await subscribe(consumer, topic)
    except CommandError as error:
        return str(error.code)
    return ""


WAYS = [name for name in vars(Ends) if not name.startswith("_") and name != "connect"]


async def run(way: str, user: Any, **kinds: Any) -> None:
    """Run one socket to its end, as a server does; cancel it if it waits."""
    accepted = asyncio.Event()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    events.put_nowait({"type": "websocket.connect"})

    class Protocol:
        """As uvicorn's: it says whether the handshake is accepted."""

        handshake_complete = False

        async def send(self, message: dict[str, Any]) -> None:
            self.handshake_complete = True
            accepted.set()
            if message["type"] == "websocket.close":
                events.put_nowait({"type": "websocket.disconnect", "code": 1000})

    scope = {"type": "websocket", "headers": [], "user": user, "way": way, "path": "/"}
    task = asyncio.create_task(Ends.as_asgi()(scope, events.get, Protocol().send))
    if way == "waits":
        await accepted.wait()
        engine = Engine.here()
        assert engine is not None
        await eventually(lambda: bool(engine.connections))
        task.cancel()
    [error] = await asyncio.gather(task, return_exceptions=True)
    assert not isinstance(error, AssertionError)


@pytest.mark.parametrize("way", WAYS)
async def test_many_sockets_leave_nothing(engine: Engine, shop: Shop, ada: Any, way: str) -> None:
    """Their connections, slots and timers end with them, and no garbage collector is needed."""
    topic = await engine.hub.open_topic("news")
    await run(way, ada)
    gc.collect()
    before = [count(kind) for kind in KINDS]
    for _ in range(SOCKETS // len(WAYS)):
        await run(way, ada)
    await eventually(lambda: not engine.connections)
    assert not topic.members
    assert (engine.admission.open, engine.admission.connections_of.total()) == (0, 0)
    assert not engine.revalidator.connections()
    gc.collect()
    assert [count(kind) for kind in KINDS] == before


def count(kind: type) -> int:
    return sum(isinstance(one, kind) for one in gc.get_objects())


async def test_a_socket_that_closes_while_the_topic_is_asked_about_leaves_nothing(
    shop: Shop, order: Any, ada: Any
) -> None:
    """The subscription was allowed too late, and says so."""
    gc.collect()
    before = count(Subscriptions)
    shop.asking.open.clear()
    tasks: list[asyncio.Task[str]] = []

    class Leaves(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await subscribe(self, "news")
            tasks.append(asyncio.create_task(subscribed(self, order.name)))

    async with testing.engine(DB_THREADS=2, **UNLIMITED) as engine:
        async with mine.page(ada, Leaves.as_asgi()):
            await eventually(lambda: bool(shop.asking.begun))
        shop.asking.open.set()
        assert await tasks.pop() == "unavailable"
        topic = await engine.hub.open_topic(order.name)
        assert (topic.members, engine.connections) == ({}, {})
        gc.collect()
        assert count(Subscriptions) <= before


async def test_a_consumer_that_lives_on_in_another_task_does_not_keep_its_socket(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """It has subscribed in this task, so its own task has to be found."""
    tasks: list[asyncio.Task[None]] = []

    class Worker(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            tasks.append(asyncio.create_task(self.work()))

        async def work(self) -> None:
            await subscribe(self, "news")
            await asyncio.Event().wait()

        async def receive(self, **frame: Any) -> None:
            raise ZeroDivisionError

    async with mine.page(ada, Worker.as_asgi()) as page:
        await eventually(lambda: bool(engine.connections))
        page.send_frame("fail")
        with pytest.raises(ZeroDivisionError):
            await page.closed()
        assert not engine.connections
    tasks.pop().cancel()


async def test_a_subscription_of_a_closed_socket_is_refused(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    async with mine.page(ada, Lasting.as_asgi()) as page:
        await ask(page, subscribe="news")
        await push.user(ada).adisconnect()
        await page.closed()
        assert await subscribed(Lasting.made, "cursors/a") == "unavailable"
        page.send_frame("{}")


class Lasting(mine.Mine):
    """Can be used by the test."""

    made: Any

    async def connect(self) -> None:
        Lasting.made = self
        await super().connect()


@pytest.mark.parametrize("way", ["function", "queue"])
async def test_middleware_between_the_server_and_the_consumer_changes_nothing(
    engine: Engine, shop: Shop, ada: Any, way: str
) -> None:
    """Whatever `send` and `receive` it gives to the consumer."""
    application = {"function": by_function, "queue": by_queue}[way](mine.Mine.as_asgi())
    async with mine.page(ada, application) as page:
        await ask(page, subscribe="cursors/a")
        for number in range(600):  # more than may wait, but each is read
            await shop.CursorsTopic(board="a").apublish(shop.Position(x=number))
            assert (await page.next())["data"] == {"x": number}
        assert await gets_nothing(page)
    assert not engine.connections


Application = Callable[..., Coroutine[Any, Any, None]]


def by_function(inner: Application) -> Application:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def traced(message: Any) -> None:
            await asyncio.sleep(0)
            await send(message)

        async def heard() -> Any:
            return await receive()

        await inner(dict(scope), heard, traced)

    return application


def by_queue(inner: Application) -> Application:
    async def carry(take: Callable[[], Awaitable[Any]], give: Callable[[Any], Any]) -> None:
        while True:
            await give(await take())

    async def application(scope: Any, receive: Any, send: Any) -> None:
        incoming: asyncio.Queue[Any] = asyncio.Queue()
        outgoing: asyncio.Queue[Any] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(carry(receive, incoming.put)),
                group.create_task(carry(outgoing.get, send)),
            ]
            await inner(scope, incoming.get, outgoing.put)
            for one in beside:
                one.cancel()

    return application
