"""Subscriptions of clients whose sockets belong to any Channels consumer of a site."""

import asyncio
import gc
import json
from typing import Any

import pytest
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from harness.client.encoding import Object
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing, topics
from realtime.consumers.topics import site_sockets
from realtime.engine.engine import Engine
from realtime.models import Membership
from realtime.store.accounts.identity import Identity
from realtime.topics import CommandError, TopicPosition, subscribe, unsubscribe
from tests.consumers.topics.shop import Shop


class Mine(AsyncJsonWebsocketConsumer):
    """A consumer of a site: it subscribes on request, and says how that ended."""

    async def connect(self) -> None:
        await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case {"subscribe": topic, **fields}:
                await self._subscribe(topic, **fields)
            case {"unsubscribe": topic}:
                await unsubscribe(self, topic)
                await self.send_json({"unsubscribed": topic})
            case {"close": code}:
                await self.close(code)
            case {"crash": _}:
                raise ZeroDivisionError
            case _:
                await self.send_json({"echo": content})

    async def _subscribe(self, topic: str, since: Any = None, history: int = 0) -> None:
        try:
            place = None if since is None else TopicPosition(**since)
            found = await subscribe(self, topic, since=place, history=history)
        except CommandError as error:
            await self.send_json({"refused": str(error.code), "retry_after": error.retry_after})
        else:
            fields = {"recovered": True} if found.recovered else {}
            await self.send_json({"position": [found.seq, found.epoch], **fields})


class Page:
    """A client of such a consumer."""

    def __init__(self, user: Any, application: Any = None, **scope: Any) -> None:
        self.communicator = WebsocketCommunicator(application or Mine.as_asgi(), "/mine/")
        self.communicator.scope.update({"client": ["192.0.2.1", 50000], "user": user} | scope)

    async def __aenter__(self) -> "Page":
        is_open, _ = await self.communicator.connect(timeout=30)
        assert is_open
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.communicator.disconnect(timeout=30)

    async def receive(self) -> Any:
        return json.loads(await self.communicator.receive_from(timeout=10))

    async def ask(self, **content: Any) -> Object:
        await self.communicator.send_json_to(content)
        found: Object = await self.receive()
        return found

    async def gets_nothing(self) -> bool:
        return await self.ask(hello=1) == {"echo": {"hello": 1}}


async def test_the_client_of_any_consumer_gets_events_as_json_text(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """Beside its own messages; and nothing more once it has unsubscribed."""
    async with Page(ada) as page:
        assert await page.ask(subscribe=order.name) == {"position": [0, ""]}
        await order.apublish(shop.Paid(total=1))
        event = await page.receive()
        assert (event["type"], event["topic"], event["name"]) == ("event", order.name, "paid")
        assert (event["data"], event["seq"]) == ({"total": 1}, 1)
        assert await page.gets_nothing()
        assert await page.ask(unsubscribe=order.name) == {"unsubscribed": order.name}
        await order.apublish(shop.Paid(total=2))
        assert await page.gets_nothing()


async def test_values_and_history_come_as_events_before_the_later_ones(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    await order.aset("courier", shop.Position(x=1))
    for total in (1, 2, 3):
        await order.apublish(shop.Paid(total=total))
    async with Page(ada) as page:
        await page.communicator.send_json_to({"subscribe": order.name, "history": 2})
        frames = [await page.receive() for _ in range(4)]
        events = [one for one in frames if "data" in one]
        assert [one["data"] for one in events] == [{"x": 1}, {"total": 2}, {"total": 3}]
        [(seq, epoch)] = [one["position"] for one in frames if "position" in one]
        assert seq == 4
    await order.apublish(shop.Paid(total=4))
    topic = await engine.hub.open_topic(order.name)
    await eventually(lambda: topic.position.seq == 5)
    async with Page(ada) as page:
        since = {"seq": seq, "epoch": epoch}
        await page.communicator.send_json_to({"subscribe": order.name, "since": since})
        frames = [await page.receive() for _ in range(2)]
        assert [one["data"] for one in frames if "data" in one] == [{"total": 4}]
        assert {"position": [5, epoch], "recovered": True} in frames


@pytest.mark.parametrize("gone", ["epoch", "seq"])
async def test_a_page_learns_that_it_cannot_resume(
    engine: Engine, shop: Shop, order: Any, ada: Any, gone: str
) -> None:
    """It gets the values and no gap, and has to drop what it had before."""
    await order.aset("courier", shop.Position(x=1))
    async with Page(ada) as page:
        frames = [await page.ask(subscribe=order.name), await page.receive()]
        [(seq, epoch)] = [one["position"] for one in frames if "position" in one]
        since = {"seq": seq, "epoch": epoch} | {gone: {"epoch": "other123", "seq": 9}[gone]}
        await page.communicator.send_json_to({"subscribe": order.name, "since": since})
        frames = [await page.receive() for _ in range(2)]
        assert [one["data"] for one in frames if "data" in one] == [{"x": 1}]
        assert {"position": [seq, epoch]} in frames


async def test_a_page_cannot_make_up_a_position(engine: Engine, order: Any, ada: Any) -> None:
    async with Page(ada) as page:
        for since in ({"seq": "1", "epoch": ""}, {"seq": -1, "epoch": ""}, {"seq": 1, "epoch": 7}):
            told = await page.ask(subscribe=order.name, since=since)
            assert told["refused"] == "invalid_message"


async def test_the_user_of_the_scope_decides_and_is_asked_about_again(
    engine: Engine, shop: Shop, order: Any, ada: Any, bob: Any
) -> None:
    async with Page(ada) as page, Page(bob) as other:
        assert (await other.ask(subscribe=order.name))["refused"] == "unknown_topic"
        assert (await other.ask(subscribe="no/such"))["refused"] == "unknown_topic"
        await page.ask(subscribe=order.name)
        await Membership.objects.all().adelete()
        await order.arefresh_rights()
        told = await page.receive()
        assert (told["type"], told["topic"], told["code"]) == (
            "removed",
            order.name,
            "unknown_topic",
        )
        await order.apublish(shop.Paid(total=1))
        assert await page.gets_nothing()


async def test_a_guest_needs_the_setting_for_guests(shop: Shop, database: str) -> None:
    async with testing.engine(GUESTS=False), Page(AnonymousUser()) as page:
        assert (await page.ask(subscribe="news"))["refused"] == "not_authenticated"
    async with testing.engine(GUESTS=True), Page(AnonymousUser()) as page:
        assert "position" in await page.ask(subscribe="news")


async def test_a_page_of_another_site_may_not_subscribe(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """Also where the site has left out the check of origins: the cookie comes from any page."""
    headers = [(b"origin", b"https://evil.example"), (b"host", b"testserver")]
    async with Page(ada, headers=headers) as page:
        assert (await page.ask(subscribe="news"))["refused"] == "permission_denied"


async def test_connections_are_admitted_and_counted_as_all_others(shop: Shop, ada: Any) -> None:
    async with testing.engine(**{**UNLIMITED, "CONNECTIONS_PER_USER": 1}) as engine:
        async with Page(ada) as page:
            await page.ask(subscribe="news")
            await page.ask(subscribe="cursors/a")
            assert engine.admission.connections_of[str(ada.pk)] == 1
            async with Page(ada) as other:
                refused = await other.ask(subscribe="news")
                assert (refused["refused"], refused["retry_after"] > 0) == ("limit_exceeded", True)
        await eventually(lambda: not engine.admission.open)
        async with Page(ada) as page:
            assert "position" in await page.ask(subscribe="news")


async def test_a_consumer_that_is_refused_may_try_again_and_again(shop: Shop, ada: Any) -> None:
    """Without leaving anything at the consumer, or of the connection."""
    seen: list[Any] = []

    class Stubborn(Mine):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            seen.append((self.base_send, vars(self).keys() - {"channel_name"}))
            await super().receive_json(content)

    settings = {**UNLIMITED, "CONNECTIONS_PER_USER": 1}
    async with testing.engine(**settings) as engine, Page(ada) as first:
        await first.ask(subscribe="news")
        async with Page(ada, Stubborn.as_asgi()) as page:
            for _ in range(5):
                assert (await page.ask(subscribe="news"))["refused"] == "limit_exceeded"
            assert engine.admission.open == len(engine.connections) == 1
            await first.communicator.disconnect()
            assert "position" in await page.ask(subscribe="news")
    assert all(one == seen[0] for one in seen)


async def test_topics_and_subscriptions_are_limited(shop: Shop, ada: Any) -> None:
    limits = {"TOPICS_PER_CONNECTION": 1, "SUBSCRIBES_PER_SECOND": 0.001}
    async with testing.engine(**limits), Page(ada) as page:
        assert "position" in await page.ask(subscribe="news")
        assert (await page.ask(subscribe="cursors/a"))["refused"] == "limit_exceeded"
        assert (await page.ask(subscribe="cursors/a"))["refused"] == "rate_limited"


@pytest.mark.parametrize("end", ["disconnect", "close", "crash"])
async def test_the_subscription_ends_with_the_socket(
    engine: Engine, shop: Shop, order: Any, ada: Any, end: str
) -> None:
    """However it ends."""
    page = Page(ada)
    await page.__aenter__()
    await page.ask(subscribe=order.name)
    topic = await engine.hub.open_topic(order.name)
    assert len(topic.members) == len(engine.connections) == 1
    if end == "close":
        await page.communicator.send_json_to({"close": 4400})
        assert (await page.communicator.receive_output(5))["type"] == "websocket.close"
        assert not topic.members  # at once: the client may be long in answering
    if end == "crash":
        await page.communicator.send_json_to({"crash": 1})
        with pytest.raises(ZeroDivisionError):
            await page.communicator.receive_output(5)
        gc.collect()
    else:
        await page.communicator.disconnect(timeout=30)
    await eventually(lambda: not topic.members and not engine.connections)
    assert not engine.revalidator.connections()
    await order.apublish(shop.Paid(total=1))


async def test_the_socket_is_closed_with_its_user(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """As all other connections of the user are; the consumer hears that its socket has ended."""
    async with Page(ada) as page:
        await page.ask(subscribe=order.name)
        await push.user(ada).adisconnect("enough")
        told = await page.receive()
        assert (told["type"], told["code"], told["reason"]) == ("disconnect", 4503, "enough")
        closed = await page.communicator.receive_output(5)
        assert (closed["type"], closed["code"]) == ("websocket.close", 4503)


async def test_the_page_gets_no_events_that_it_has_not_asked_for(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """It may not know what a notice or a signal is."""
    async with Page(ada) as page:
        await page.ask(subscribe="news")
        await push.everyone().anotice("to everyone")
        await push.user(ada).asend({"to": "a user"})
        assert await page.gets_nothing()


async def test_a_changed_user_is_asked_about_again(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with Page(ada) as page:
        await page.ask(subscribe=order.name)
        asked = len(shop.asked)
        [connection] = engine.connections.values()
        connection.events.on_user_changed(Identity.of(ada))
        await eventually(lambda: len(shop.asked) == asked + 1)


async def test_several_subscriptions_at_once_share_a_connection(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    class Both(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await asyncio.gather(subscribe(self, "news"), subscribe(self, "cursors/a"))

    page = Page(ada, Both.as_asgi())
    async with page:
        cursors, news = [await engine.hub.open_topic(one) for one in ("cursors/a", "news")]
        await eventually(lambda: cursors.members and news.members)
        assert len(engine.connections) == 1
        await shop.CursorsTopic(board="a").apublish(shop.Position(x=1))
        assert (await page.receive())["topic"] == "cursors/a"
        await shop.NewsTopic().apublish(shop.Position(x=1))
        assert (await page.receive())["topic"] == "news"


async def test_a_topic_can_be_given_as_an_object(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    class ByObject(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await subscribe(self, order)

    async with Page(ada, ByObject.as_asgi()) as page:
        topic = await engine.hub.open_topic(order.name)
        await eventually(lambda: bool(topic.members))
        await order.apublish(shop.Paid(total=3))
        assert (await page.receive())["data"] == {"total": 3}


def test_topics_offer_what_consumers_define() -> None:
    """Imports point down only, so these names are looked up when they are used."""
    assert (topics.subscribe, topics.unsubscribe) == (
        site_sockets.subscribe,
        site_sockets.unsubscribe,
    )
    with pytest.raises(AttributeError, match="no attribute 'subscribes'"):
        topics.subscribes  # noqa: B018


def test_other_consumers_get_an_error_that_says_what_to_write() -> None:
    with pytest.raises(TypeError, match="needs an async consumer, not JsonWebsocketConsumer"):
        subscribe(JsonWebsocketConsumer(), "news")
    with pytest.raises(TypeError, match="needs an async consumer, not object"):
        subscribe(object(), "news")  # type: ignore[arg-type]
    http = AsyncHttpConsumer()
    http.scope = {"type": "http"}
    with pytest.raises(TypeError, match="needs the consumer of an open WebSocket"):
        subscribe(http, "news")
    with pytest.raises(TypeError, match="needs the consumer of an open WebSocket"):
        subscribe(AsyncWebsocketConsumer(), "news")
