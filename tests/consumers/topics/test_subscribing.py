"""Subscribing to topics through a socket: what comes, in which order, and what is refused."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from harness.client.encoding import ENCODINGS, Object
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.consumers.topics.subscribing import OPENED_AHEAD
from realtime.engine.engine import Engine
from realtime.models import Log, Membership, Room
from realtime.testing import connect
from realtime.topics.subscriptions import Subscriptions
from tests.consumers.topics.shop import Shop


def names(item: Object) -> list[tuple[str, Any]]:
    return [(entry["name"], entry.get("data")) for entry in item["entries"]]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_subscriber_gets_the_events_of_its_topic(
    engine: Engine, shop: Shop, order: Any, ada: Any, encoding: str
) -> None:
    async with connect(ada, encoding=encoding) as socket:
        told = await socket.ask("subscribe", topic=order.name)
        assert (told["type"], told["topic"], told["through"], told["epoch"]) == (
            "subscribed",
            order.name,
            0,
            "",
        )
        assert (told["recovered"], told["entries"], told["has_more"]) == (False, [], False)
        await order.apublish(shop.Paid(total=7))
        event = await socket.next("event", topic=order.name)
        assert (event["name"], event["data"], event["seq"]) == ("paid", {"total": 7}, 1)
        assert len(event["epoch"]) == 8  # the log begins with it


async def test_a_resume_brings_what_was_missed_once(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await socket.ask("subscribe", topic=order.name)
        await order.apublish(shop.Paid(total=1))
        epoch = (await socket.next("event"))["epoch"]
    for total in (2, 3):
        await order.apublish(shop.Paid(total=total))
    topic = await engine.hub.open_topic(order.name)
    await eventually(lambda: topic.position.seq == 3)
    async with connect(ada) as socket:
        since = {"seq": 1, "epoch": epoch}
        told = await socket.ask("subscribe", topic=order.name, since=since)
        assert (told["recovered"], told["through"]) == (True, 3)
        assert names(told) == [("paid", {"total": 2}), ("paid", {"total": 3})]
        await order.apublish(shop.Paid(total=4))
        assert (await socket.next("event"))["seq"] == 4


async def test_a_subscriber_gets_living_values_and_only_the_history_that_it_asks_for(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    await order.apublish(shop.Paid(total=1))
    await order.aset("courier", shop.Position(x=1))
    await order.aset("courier", shop.Position(x=2))
    await order.aset("gone", shop.Position(x=3))
    await order.adelete("gone")
    await order.apublish(shop.Paid(total=2))
    async with connect(ada) as socket:
        told = await socket.ask("subscribe", topic=order.name)
        assert [(one["key"], one["data"]) for one in told["entries"]] == [("courier", {"x": 2})]
        told = await socket.ask("subscribe", topic=order.name, history=1)
        assert names(told) == [("position", {"x": 2}), ("paid", {"total": 2})]
        await order.adelete("courier")
        event = await socket.next("event")
        assert (event["key"], event["deleted"]) == ("courier", True)
        assert [one["type"] for one in await socket.settled()].count("event") == 0


async def test_a_snapshot_of_many_values_comes_in_pages_and_then_the_events(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """No event comes before the last page."""
    await sync_to_async(order.set_many)({str(n): shop.Position(x=n) for n in range(1200)})
    async with connect(ada) as socket:
        values, since, pages = {}, None, 0
        while True:
            told = await socket.ask("subscribe", topic=order.name, since=since)
            values |= {one["key"]: one["data"]["x"] for one in told["entries"]}
            pages += 1
            if not told["has_more"]:
                break
            await order.aset(str(pages), shop.Position(x=-pages))
            assert not [one for one in socket.arrived if one["type"] == "event"]
            since = {"seq": told["through"], "epoch": told["epoch"]}
            since |= {"until": told["until"]} if "until" in told else {}
        assert pages >= 3
        expected = {str(n): n for n in range(1200)} | {str(n): -n for n in range(1, pages)}
        while values != expected:  # the last changes may come as events
            event = await socket.next("event")
            values[event["key"]] = event["data"]["x"]
        await order.aset("5", shop.Position(x=55))
        assert (await socket.next("event"))["data"] == {"x": 55}


async def test_events_that_are_not_stored_are_sent_once(
    engine: Engine, shop: Shop, database: str
) -> None:
    cursors = shop.CursorsTopic(board="a")
    await cursors.apublish(shop.Position(x=1))
    async with connect() as socket, connect() as other:
        told = await socket.ask("subscribe", topic="cursors/a", history=10)
        assert (told["through"], told["entries"]) == (0, [])
        await other.ask("subscribe", topic="cursors/b")
        await cursors.apublish(shop.Position(x=2))
        event = await socket.next("event")
        assert (event["data"], "seq" in event) == ({"x": 2}, False)
        assert [one["type"] for one in await other.settled()] == []
    assert not await Log.objects.filter(name__isnull=False).aexists()


async def test_what_is_published_with_a_transaction_comes_with_its_commit(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    from django.db import transaction

    def publish() -> None:
        with transaction.atomic():
            order.publish(shop.Paid(total=1))
        try:
            with transaction.atomic():
                order.publish(shop.Paid(total=2))
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        order.publish(shop.Paid(total=3))

    async with connect(ada) as socket:
        await socket.ask("subscribe", topic=order.name)
        await sync_to_async(publish)()
        events = [await socket.next("event") for _ in range(2)]
        assert [(one["seq"], one["data"]["total"]) for one in events] == [(1, 1), (2, 3)]


async def test_an_unsubscribed_client_gets_nothing_more(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """Also if it was not subscribed, or names the topic in another way, the reply is the same."""
    async with connect(ada) as socket:
        await socket.ask("subscribe", topic=order.name)
        told = await socket.ask("unsubscribe", topic=f"order/00{order.pk}")
        assert (told["type"], told["topic"]) == ("unsubscribed", order.name)
        await order.apublish(shop.Paid(total=1))
        for topic in (order.name, "news", "order/999", "order/x", "no/such"):
            told = await socket.ask("unsubscribe", topic=topic)
            assert (told["type"], told["topic"]) == ("unsubscribed", topic)
        assert not [one for one in socket.arrived if one["type"] == "event"]


async def test_subscribing_again_changes_nothing_but_the_reply(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        for name in (order.name, f"order/0{order.pk}"):
            told = await socket.ask("subscribe", topic=name)
            assert told["topic"] == order.name
        await order.apublish(shop.Paid(total=1))
        await socket.next("event")
        assert [one["type"] for one in await socket.settled()].count("event") == 0


async def test_many_topics_are_subscribed_by_one_command(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """Each has a reply of its own, and all of a class are asked together."""
    room = await Room.objects.acreate(slug="other")
    await Membership.objects.acreate(room=room, user=ada)
    targets = ["news", f"parcel/{room.pk}", f"parcel/{order.pk}", "parcel/999", "no/such", "news"]
    async with connect(ada) as socket:
        socket.send("subscribes", topics=[{"topic": one} for one in targets], ref=1)
        replies = [await socket.next() for _ in targets]
    assert [one["topic"] for one in replies] == targets
    assert [one["ref"] for one in replies] == [1] * 6
    kinds = ["subscribed"] * 3 + ["error"] * 2 + ["subscribed"]
    assert [one["type"] for one in replies] == kinds
    parcels = [asked for asked in shop.asked if asked[0].startswith("parcel")]
    assert [sorted(one) for one in parcels] == [sorted(targets[1:4])]


async def test_the_topics_of_one_command_are_opened_together(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, each would wait for the channel layer and for the database."""
    probed, all_probed = set(), asyncio.Event()

    async def probe(name: str, seconds: float) -> bool:
        probed.add(name)
        if len(probed) == 3:
            all_probed.set()
        await all_probed.wait()
        return True

    monkeypatch.setattr(engine.hub.layer, "probe", probe)
    async with connect() as socket:
        socket.send("subscribes", topics=[{"topic": f"cursors/{one}"} for one in "abc"])
        found = [(await socket.next("subscribed"))["topic"] for _ in range(3)]
        assert found == ["cursors/a", "cursors/b", "cursors/c"]


async def test_a_long_list_of_topics_is_opened_in_parts(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lists of many clients, opened at once, would wait for each other for too long."""
    probed, seen, enter = set(), [], Subscriptions.enter

    async def probe(name: str, seconds: float) -> bool:
        probed.add(name)
        return True

    async def note(*args: Any, **options: Any) -> Any:
        seen.append(len(probed))
        return await enter(*args, **options)

    monkeypatch.setattr(engine.hub.layer, "probe", probe)
    monkeypatch.setattr(Subscriptions, "enter", note)
    topics = [{"topic": f"cursors/{number}"} for number in range(2 * OPENED_AHEAD)]
    async with connect() as socket:
        socket.send("subscribes", topics=topics)
        for target in topics:
            assert (await socket.next("subscribed"))["topic"] == target["topic"]
    assert seen == [OPENED_AHEAD] * OPENED_AHEAD + [2 * OPENED_AHEAD] * OPENED_AHEAD


async def test_topics_beyond_the_limit_are_not_opened(shop: Shop, room: Room) -> None:
    """A client cannot make the server listen for more than it may have."""
    async with (
        testing.engine(GUESTS=True, TOPICS_PER_CONNECTION=2, **UNLIMITED) as engine,
        connect() as socket,
    ):
        socket.send("subscribes", topics=[{"topic": f"cursors/{one}"} for one in "abcd"])
        for kind in ("subscribed", "subscribed", "error", "error"):
            await socket.next(kind)
        assert len(engine.hub.logs) == 2


async def test_a_storm_of_subscribes_is_a_few_questions(shop: Shop, database: str) -> None:
    """2,000 subscriptions of 20 connections: one query for each hundred, not one for each."""
    async with (
        testing.engine(
            GUESTS=True, TOPICS_PER_CONNECTION=100, SUBSCRIBES_PER_SECOND=100_000, DB_THREADS=2
        ),
        AsyncExitStack() as stack,
    ):
        sockets = [await stack.enter_async_context(connect()) for _ in range(20)]
        for number, socket in enumerate(sockets):
            topics = [{"topic": f"parcel/{number * 100 + one}"} for one in range(1, 101)]
            socket.send("subscribes", topics=topics)
        for socket in sockets:
            for _ in range(100):
                await socket.next("error", code="unknown_topic")
    assert sum(map(len, shop.asked)) == 2000
    assert len(shop.asked) <= 40


async def test_a_connection_has_at_most_so_many_topics(shop: Shop, order: Any, ada: Any) -> None:
    limits = {"TOPICS_PER_CONNECTION": 2, "SUBSCRIBES_PER_SECOND": 100_000}
    async with testing.engine(**limits), connect(ada) as socket:
        for topic in ("news", "cursors/a", "cursors/a"):
            assert (await socket.ask("subscribe", topic=topic))["type"] == "subscribed"
        error = await socket.ask("subscribe", topic=order.name)
        assert (error["code"], error["topic"]) == ("limit_exceeded", order.name)
        await socket.ask("unsubscribe", topic="news")
        assert (await socket.ask("subscribe", topic=order.name))["type"] == "subscribed"


async def test_subscribing_has_an_allowance_of_its_own(shop: Shop, order: Any, ada: Any) -> None:
    limits = {"TOPICS_PER_CONNECTION": 2, "SUBSCRIBES_PER_SECOND": 0.001}
    async with testing.engine(**limits), connect(ada) as socket:
        for _ in range(3):
            assert (await socket.ask("subscribe", topic="news"))["type"] == "subscribed"
        error = await socket.ask("subscribe", topic="news")
        assert (error["code"], error["retryable"], error["retry_after"] > 0) == (
            "rate_limited",
            True,
            True,
        )


async def test_one_socket_has_rooms_and_topics(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await socket.join("general")
        await socket.ask("subscribe", topic=order.name)
        await order.apublish(shop.Paid(total=1))
        await socket.next("event")
        await socket.ask("message", room="general", content="hello")
        assert (await socket.ask("history", room="general"))["messages"]
        assert (await socket.ask("history", topic=order.name))["entries"]


async def test_a_subscribed_client_keeps_its_identity(
    engine: Engine, shop: Shop, database: str
) -> None:
    """As in rooms: its rights are those of its user."""
    async with connect() as socket:
        await socket.ask("subscribe", topic="news")
        error = await socket.ask("auth", name="Grace")
        assert (error["code"], error["message"]) == (
            "permission_denied",
            "Unsubscribe from your topics first.",
        )
        await socket.ask("unsubscribe", topic="news")
        await socket.join("general")
        error = await socket.ask("auth", name="Grace")
        assert error["message"] == "Leave your rooms first."
        await socket.ask("leave", room="general")
        assert (await socket.ask("auth", name="Grace"))["username"] == "Grace"


async def test_a_closed_connection_leaves_nothing(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await socket.ask("subscribe", topic=order.name)
        topic = await engine.hub.open_topic(order.name)
        assert len(topic.members) == 1
    await eventually(lambda: not topic.members)


# History.


async def test_history_is_read_in_pages(engine: Engine, shop: Shop, order: Any, ada: Any) -> None:
    """Events before a place, or all changes after a position; values are no history."""
    for total in range(1, 4):
        await order.apublish(shop.Paid(total=total))
    await order.aset("courier", shop.Position(x=1))
    async with connect(ada) as socket:
        page = await socket.ask("history", topic=order.name, limit=2)
        assert names(page) == [("paid", {"total": 2}), ("paid", {"total": 3})]
        assert (page["topic"], page["has_more"], len(page["epoch"])) == (order.name, True, 8)
        page = await socket.ask("history", topic=order.name, before=2)
        assert (names(page), page["has_more"]) == ([("paid", {"total": 1})], False)
        page = await socket.ask("history", topic=order.name, after=2, limit=1)
        assert (names(page), page["through"], page["has_more"]) == (
            [("paid", {"total": 3})],
            3,
            True,
        )
        page = await socket.ask("history", topic=order.name, after=3)
        assert (names(page), page["through"]) == ([("position", {"x": 1})], 4)


async def test_history_beyond_the_log_ends_the_subscription(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    await order.apublish(shop.Paid(total=1))
    async with connect(ada) as socket:
        await socket.ask("subscribe", topic=order.name)
        told = await socket.ask("history", topic=order.name, after=9)
        assert (told["type"], told["seq"]) == ("resync", 1)
        await order.apublish(shop.Paid(total=2))
        assert [one["type"] for one in await socket.settled()].count("event") == 0


async def test_a_topic_without_entries_has_an_empty_history(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        for topic in (order.name, "cursors/a"):
            page = await socket.ask("history", topic=topic)
            assert (page["entries"], page["has_more"], page["epoch"]) == ([], False, "")
            page = await socket.ask("history", topic=topic, after=0)
            assert (page["entries"], page["through"]) == ([], 0)


async def test_history_needs_a_room_or_a_topic(engine: Engine, shop: Shop, database: str) -> None:
    from realtime.consumers.topics import Subscribing

    async with connect() as socket:
        for fields in ({}, {"room": "general", "topic": "news"}):
            assert (await socket.ask("history", **fields))["code"] == "invalid_message"
    async with connect(application=Subscribing.as_asgi()) as socket:
        error = await socket.ask("history", room="general")
        assert (error["code"], error["path"]) == ("invalid_message", "room")
        assert (await socket.ask("history", topic="news"))["entries"] == []


# What does not exist.

UNKNOWN = ["no/such", "order/x", "order/", "order/-1", "order/9223372036854775808", "order/1/"]
UNKNOWN += ["ORDER/1", "order/1\u0301", "order/\u0661", " news", "news\n", "n\u0000ews", "x" * 200]


@pytest.mark.parametrize("topic", [*UNKNOWN, "order/424242", "parcel/424242"])
async def test_unknown_malformed_and_forbidden_topics_are_not_told_apart(
    engine: Engine, shop: Shop, order: Any, bob: Any, topic: str
) -> None:
    """By no command, word for word."""
    commands: dict[str, Object] = {
        "subscribe": {},
        "history": {},
        "call": {"name": "cancel"},
    }
    async with connect(bob) as socket:
        for kind, fields in commands.items():
            answers = []
            for name in (topic, order.name):
                error = await socket.ask(kind, topic=name, **fields)
                if "\x00" in topic and name is topic:
                    assert error.pop("code") == "invalid_message"
                    return
                assert error.pop("topic") == name
                del error["ref"]
                answers.append(error)
            assert answers[0] == answers[1]
            assert answers[0]["code"] == "unknown_topic"


async def test_a_call_tells_nothing_of_a_forbidden_topic(
    engine: Engine, shop: Shop, order: Any, bob: Any
) -> None:
    """Neither its commands nor their fields."""
    async with connect(bob) as socket:
        for fields in ({"name": "no_such"}, {"name": "cancel", "data": {"seats": "x"}}):
            error = await socket.ask("call", topic=order.name, **fields)
            assert (error["code"], error.get("path")) == ("unknown_topic", None)
    assert shop.instances == []


async def test_a_slow_permission_leaves_the_other_topics_of_the_command_alone(
    database: Any, shop: Shop, order: Any, ada: Any
) -> None:
    async with (
        testing.engine(DB_THREADS=2, HANDLER_SECONDS=0.5, **UNLIMITED),
        connect(ada) as socket,
    ):
        shop.asking.open.clear()
        topics = [{"topic": order.name}, {"topic": "no/such"}, {"topic": "news"}]
        socket.send("subscribes", topics=topics, ref=1)
        told = [await socket.next() for _ in topics]
        assert [(one.get("code"), one["topic"]) for one in told] == [
            ("unavailable", order.name),
            ("unknown_topic", "no/such"),
            (None, "news"),
        ]
        shop.asking.open.set()
        again = await socket.ask("subscribe", topic=order.name)
        assert again["type"] == "subscribed"
