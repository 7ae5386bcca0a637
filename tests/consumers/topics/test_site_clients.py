"""Subscriptions of clients whose sockets belong to any Channels consumer of a site."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import (
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from django.contrib.auth.models import AnonymousUser

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing, topics
from realtime.auth import tickets
from realtime.consumers.topics import site_clients, site_connections
from realtime.engine.engine import Engine
from realtime.models import Membership, Room
from realtime.store.accounts.identity import Identity
from realtime.topics import subscribe, unsubscribe
from realtime.wire.errors import CloseCode, Disconnect
from tests.consumers.topics import mine
from tests.consumers.topics.mine import Mine, ask, gets_nothing
from tests.consumers.topics.shop import Shop


async def test_the_client_of_any_consumer_gets_events_as_json_text(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """Beside its own messages; and nothing more once it has unsubscribed."""
    async with mine.page(ada) as page:
        assert await ask(page, subscribe=order.name) == {"position": [0, ""]}
        await order.apublish(shop.Paid(total=1))
        event = await page.next()
        assert (event["type"], event["topic"], event["name"]) == ("event", order.name, "paid")
        assert (event["data"], event["seq"]) == ({"total": 1}, 1)
        assert await gets_nothing(page)
        assert await ask(page, unsubscribe=order.name) == {"unsubscribed": order.name}
        await order.apublish(shop.Paid(total=2))
        assert await gets_nothing(page)


async def test_values_and_history_come_as_events_before_the_later_ones(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    await order.aset("courier", shop.Position(x=1))
    for total in (1, 2, 3):
        await order.apublish(shop.Paid(total=total))
    async with mine.page(ada) as page:
        page.send_json({"subscribe": order.name, "history": 2})
        frames = [await page.next() for _ in range(4)]
        events = [one for one in frames if "data" in one]
        assert [one["data"] for one in events] == [{"x": 1}, {"total": 2}, {"total": 3}]
        [(seq, epoch)] = [one["position"] for one in frames if "position" in one]
        assert seq == 4
    await order.apublish(shop.Paid(total=4))
    topic = await engine.hub.open_topic(order.name)
    await eventually(lambda: topic.position.seq == 5)
    async with mine.page(ada) as page:
        since = {"seq": seq, "epoch": epoch}
        page.send_json({"subscribe": order.name, "since": since})
        frames = [await page.next() for _ in range(2)]
        assert [one["data"] for one in frames if "data" in one] == [{"total": 4}]
        assert {"position": [5, epoch], "recovered": True} in frames


@pytest.mark.parametrize("gone", ["epoch", "seq"])
async def test_a_page_learns_that_it_cannot_resume(
    engine: Engine, shop: Shop, order: Any, ada: Any, gone: str
) -> None:
    """It gets the values and no gap, and has to drop what it had before."""
    await order.aset("courier", shop.Position(x=1))
    async with mine.page(ada) as page:
        frames = [await ask(page, subscribe=order.name), await page.next()]
        [(seq, epoch)] = [one["position"] for one in frames if "position" in one]
        since = {"seq": seq, "epoch": epoch} | {gone: {"epoch": "other123", "seq": 9}[gone]}
        page.send_json({"subscribe": order.name, "since": since})
        frames = [await page.next() for _ in range(2)]
        assert [one["data"] for one in frames if "data" in one] == [{"x": 1}]
        assert {"position": [seq, epoch]} in frames


async def test_a_page_cannot_make_up_a_position(engine: Engine, order: Any, ada: Any) -> None:
    async with mine.page(ada) as page:
        for since in ({"seq": "1", "epoch": ""}, {"seq": -1, "epoch": ""}, {"seq": 1, "epoch": 7}):
            told = await ask(page, subscribe=order.name, since=since)
            assert told["refused"] == "invalid_message"


async def test_the_user_of_the_scope_decides_and_is_asked_about_again(
    engine: Engine, shop: Shop, order: Any, ada: Any, bob: Any
) -> None:
    async with mine.page(ada) as page, mine.page(bob) as other:
        assert (await ask(other, subscribe=order.name))["refused"] == "unknown_topic"
        assert (await ask(other, subscribe="no/such"))["refused"] == "unknown_topic"
        await ask(page, subscribe=order.name)
        await Membership.objects.all().adelete()
        await order.arefresh_rights()
        told = await page.next()
        assert (told["type"], told["topic"], told["code"]) == (
            "removed",
            order.name,
            "unknown_topic",
        )
        await order.apublish(shop.Paid(total=1))
        assert await gets_nothing(page)


async def test_a_guest_needs_the_setting_for_guests(shop: Shop, database: str) -> None:
    async with testing.engine(GUESTS=False), mine.page(AnonymousUser()) as page:
        assert (await ask(page, subscribe="news"))["refused"] == "not_authenticated"
    async with testing.engine(GUESTS=True), mine.page(AnonymousUser()) as page:
        assert "position" in await ask(page, subscribe="news")


async def test_a_page_of_another_site_may_not_subscribe(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """Also where the site has left out the check of origins: the cookie comes from any page."""
    headers = {"origin": "https://evil.example"}
    async with mine.page(ada, headers=headers) as page:
        assert (await ask(page, subscribe="news"))["refused"] == "permission_denied"


async def test_connections_are_admitted_and_counted_as_all_others(shop: Shop, ada: Any) -> None:
    async with testing.engine(**{**UNLIMITED, "CONNECTIONS_PER_USER": 1}) as engine:
        async with mine.page(ada) as page:
            await ask(page, subscribe="news")
            await ask(page, subscribe="cursors/a")
            assert engine.admission.connections_of[str(ada.pk)] == 1
            async with mine.page(ada) as other:
                refused = await ask(other, subscribe="news")
                assert (refused["refused"], refused["retry_after"] > 0) == ("limit_exceeded", True)
        await eventually(lambda: not engine.admission.open)
        async with mine.page(ada) as page:
            assert "position" in await ask(page, subscribe="news")


async def test_a_consumer_that_is_refused_may_try_again_and_again(shop: Shop, ada: Any) -> None:
    """Without leaving anything at the consumer, or of the connection."""
    seen: list[Any] = []

    class Stubborn(Mine):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            seen.append((self.base_send, vars(self).keys() - {"channel_name"}))
            await super().receive_json(content)

    settings = {**UNLIMITED, "CONNECTIONS_PER_USER": 1}
    async with testing.engine(**settings) as engine, mine.page(ada) as first:
        await ask(first, subscribe="news")
        async with mine.page(ada, Stubborn.as_asgi()) as page:
            for _ in range(5):
                assert (await ask(page, subscribe="news"))["refused"] == "limit_exceeded"
            assert engine.admission.open == len(engine.connections) == 1
            await first.drop_connection()
            assert "position" in await ask(page, subscribe="news")
    assert all(one == seen[0] for one in seen)


async def test_topics_and_subscriptions_are_limited(shop: Shop, ada: Any) -> None:
    limits = {"TOPICS_PER_CONNECTION": 1, "SUBSCRIBES_PER_SECOND": 0.001}
    async with testing.engine(**limits), mine.page(ada) as page:
        assert "position" in await ask(page, subscribe="news")
        assert (await ask(page, subscribe="cursors/a"))["refused"] == "limit_exceeded"
        assert (await ask(page, subscribe="cursors/a"))["refused"] == "rate_limited"


@pytest.mark.parametrize("end", ["disconnect", "close", "crash"])
async def test_the_subscription_ends_with_the_socket(
    engine: Engine, shop: Shop, order: Any, ada: Any, end: str
) -> None:
    """However it ends."""
    async with mine.page(ada) as page:
        await ask(page, subscribe=order.name)
        topic = await engine.hub.open_topic(order.name)
        assert len(topic.members) == len(engine.connections) == 1
        if end == "disconnect":
            await page.drop_connection()
        elif end == "close":
            page.send_json({"close": 4400})
            assert (await page.closed()).code == 4400
            assert not topic.members  # at once: the client may be long in answering
        else:
            page.send_json({"crash": 1})
            with pytest.raises(ZeroDivisionError):
                await page.next()
        await eventually(lambda: not topic.members and not engine.connections)
        assert not engine.revalidator.connections()
        await order.apublish(shop.Paid(total=1))


async def test_the_socket_is_closed_with_its_user(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """As all other connections of the user are; the consumer hears that its socket has ended."""
    async with mine.page(ada) as page:
        await ask(page, subscribe=order.name)
        await push.user(ada).adisconnect("enough")
        told = await page.next()
        assert (told["type"], told["code"], told["reason"]) == ("disconnect", 4503, "enough")
        assert (await page.closed()).code == 4503


async def test_the_page_gets_no_events_that_it_has_not_asked_for(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """It may not know what a notice or a signal is."""
    async with mine.page(ada) as page:
        await ask(page, subscribe="news")
        await push.everyone().anotice("to everyone")
        await push.user(ada).asend({"to": "a user"})
        assert await gets_nothing(page)


async def test_a_changed_user_is_asked_about_again(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with mine.page(ada) as page:
        await ask(page, subscribe=order.name)
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

    async with mine.page(ada, Both.as_asgi()) as page:
        cursors, news = [await engine.hub.open_topic(one) for one in ("cursors/a", "news")]
        await eventually(lambda: cursors.members and news.members)
        assert len(engine.connections) == 1
        await shop.CursorsTopic(board="a").apublish(shop.Position(x=1))
        assert (await page.next())["topic"] == "cursors/a"
        await shop.NewsTopic().apublish(shop.Position(x=1))
        assert (await page.next())["topic"] == "news"


async def test_a_topic_can_be_given_as_an_object(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    class ByObject(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await subscribe(self, order)

    async with mine.page(ada, ByObject.as_asgi()) as page:
        topic = await engine.hub.open_topic(order.name)
        await eventually(lambda: bool(topic.members))
        await order.apublish(shop.Paid(total=3))
        assert (await page.next())["data"] == {"total": 3}


async def test_unsubscribing_waits_for_a_subscription_that_is_under_way(
    shop: Shop, order: Any, ada: Any
) -> None:
    """Calls about one topic take effect in their order, whatever name of it they use."""
    shop.asking.open.clear()
    shown: list[int] = []

    class Changes(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            _, pk = order.name.split("/")
            calls = subscribe(self, order.name), unsubscribe(self, f"order/0{pk}")
            await asyncio.gather(*calls, self.opened())
            shown.append(len((await engine.hub.open_topic(order.name)).members))

        async def opened(self) -> None:
            await eventually(lambda: bool(shop.asking.begun))
            shop.asking.open.set()

    async with (
        testing.engine(DB_THREADS=2, **UNLIMITED) as engine,
        mine.page(ada, Changes.as_asgi()),
    ):
        await eventually(lambda: bool(shown))
    assert shown == [0]


async def test_unsubscribing_from_nothing_does_nothing(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with mine.page(ada) as page:
        assert await ask(page, unsubscribe=order.name) == {"unsubscribed": order.name}
        await ask(page, subscribe="news")
        for name in (order.name, "no/such", "order/x"):
            assert await ask(page, unsubscribe=name) == {"unsubscribed": name}


async def test_parallel_subscriptions_are_counted(shop: Shop, ada: Any) -> None:
    codes: list[str] = []

    class Greedy(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            names = [f"cursors/{number}" for number in range(20)]
            calls = (subscribe(self, name) for name in [*names, *names])
            found = await asyncio.gather(*calls, return_exceptions=True)
            codes.extend(str(getattr(one, "code", "")) for one in found)

    limits = {**UNLIMITED, "TOPICS_PER_CONNECTION": 5}
    async with testing.engine(**limits), mine.page(ada, Greedy.as_asgi()):
        await eventually(lambda: bool(codes))
    assert sorted(codes) == [""] * 10 + ["limit_exceeded"] * 30


async def test_subscribing_again_sends_the_values_again_and_each_event_once(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    await order.aset("courier", shop.Position(x=1))
    async with mine.page(ada) as page:
        for _ in range(3):
            page.send_json({"subscribe": order.name})
        found = [await page.next() for _ in range(6)]
        assert [one["data"] for one in found if "data" in one] == [{"x": 1}] * 3
        await order.apublish(shop.Paid(total=1))
        assert (await page.next())["data"] == {"total": 1}
        assert await gets_nothing(page)


async def test_a_large_snapshot_is_sent_as_fast_as_the_server_takes_it(
    shop: Shop, ada: Any
) -> None:
    """A client that reads is never taken for a slow one, and misses nothing meanwhile."""
    news, values = shop.NewsTopic(), 700
    async with testing.engine(**UNLIMITED):
        await news.apublish_many([shop.Paid(total=number) for number in range(100)])
        await news.aset_many({f"k{number}": shop.Position(x=number) for number in range(values)})
        async with mine.page(ada, slow(Mine.as_asgi())) as page:
            page.send_json({"subscribe": "news", "history": 100})
            await page.next("event")
            await news.apublish(shop.Paid(total=values))
            await page.next("event", data={"total": values})
            events = [one for one in page.arrived if one.get("type") == "event"]
    shown = {one["key"]: one["data"]["x"] for one in events if "key" in one}
    assert shown == {f"k{number}": number for number in range(values)}
    totals = [one["data"]["total"] for one in events if "key" not in one]
    assert totals == [*range(100), values]


async def test_several_large_snapshots_at_once_are_sent_one_after_the_other(
    shop: Shop, ada: Any
) -> None:
    rooms = [await Room.objects.acreate(slug=f"o{number}", kind="private") for number in range(8)]
    orders = [shop.OrderTopic(pk=room.pk) for room in rooms]
    values = {f"k{number}": shop.Position(x=number) for number in range(100)}

    class Dashboard(Mine):
        async def connect(self) -> None:
            await self.accept()
            await asyncio.gather(*(subscribe(self, order) for order in orders))

    async with testing.engine(**UNLIMITED):
        for room, order in zip(rooms, orders, strict=True):
            await Membership.objects.acreate(room=room, user=ada)
            await order.aset_many(values)
        async with mine.page(ada, slow(Dashboard.as_asgi())) as page:
            events = [await page.next("event") for _ in range(8 * 100)]
    shown = Counter(event["topic"] for event in events)
    assert shown == {order.name: 100 for order in orders}


def slow(inner: Any) -> Any:
    """A server to which each frame is handed over in a later turn of the event loop."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def later(message: Any) -> None:
            await asyncio.sleep(0)
            await send(message)

        await inner(scope, receive, later)

    return application


async def test_the_socket_ends_with_its_token(engine: Engine, shop: Shop, ada: Any) -> None:
    """The page cannot send a new one here, and is not asked for it."""
    token = await sync_to_async(tickets.issue)(ada, until=time.time() + 0.5)
    async with mine.page(token=token) as page:
        assert "position" in await ask(page, subscribe="news")
        assert (await page.closed()).code == CloseCode.EXPIRED
        assert [one.get("type") for one in page.arrived] == [None, "disconnect"]


async def test_a_refusal_of_the_site_has_a_code(
    engine: Engine, shop: Shop, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*args: Any) -> None:
        raise Disconnect(4901, "Not today.")

    monkeypatch.setattr(site_connections, "identify", refuse)
    async with mine.page(ada) as page:
        assert (await ask(page, subscribe="news"))["refused"] == "permission_denied"


def test_topics_offer_what_consumers_define() -> None:
    """Imports point down only, so these names are looked up when they are used."""
    assert (topics.subscribe, topics.unsubscribe) == (
        site_clients.subscribe,
        site_clients.unsubscribe,
    )
    with pytest.raises(AttributeError, match="no attribute 'subscribes'"):
        topics.subscribes  # noqa: B018


def test_other_consumers_get_an_error_that_says_what_to_write() -> None:
    with pytest.raises(TypeError, match="needs an async consumer, not JsonWebsocketConsumer"):
        subscribe(JsonWebsocketConsumer(), "news")
    with pytest.raises(TypeError, match="needs an async consumer, not WebsocketConsumer"):
        unsubscribe(WebsocketConsumer(), "news")
    with pytest.raises(TypeError, match="needs an async consumer, not object"):
        subscribe(object(), "news")  # type: ignore[arg-type]
    http = AsyncHttpConsumer()
    http.scope = {"type": "http"}
    with pytest.raises(TypeError, match="needs the consumer of an open WebSocket"):
        subscribe(http, "news")
    with pytest.raises(TypeError, match="needs the consumer of an open WebSocket"):
        subscribe(AsyncWebsocketConsumer(), "news")
