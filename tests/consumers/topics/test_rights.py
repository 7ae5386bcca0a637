"""The right to be subscribed: when it is asked for, and what happens when it ends."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import DataError, OperationalError

from harness.client.encoding import Object
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.engine.connections import rechecks
from realtime.engine.database import executor
from realtime.engine.engine import Engine
from realtime.models import Membership, Room
from realtime.store.topics.entries import TopicLog
from realtime.testing import Client, connect
from realtime.topics import CommandError, ErrorCode
from realtime.topics import subscriptions as module
from realtime.topics.registry import registry, unknown_topic
from tests.consumers.topics.shop import Shop


@sync_to_async
def end_right(order: Any, *, tell: bool = True) -> None:
    Membership.objects.filter(room_id=order.pk).delete()
    if tell:
        order.refresh_rights()


async def subscribed(socket: Client, topic: str, **fields: Any) -> Object:
    told = await socket.ask("subscribe", topic=topic, **fields)
    assert told["type"] == "subscribed", told
    return told


@contextmanager
def hanging(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> Iterator[None]:
    """Have a method hang in its thread until the end of a block."""
    gate, method = threading.Event(), getattr(kind, name)

    def hang(*args: Any) -> Any:
        gate.wait(5)
        return method(*args)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, hang)
        try:
            yield
        finally:
            gate.set()


async def assert_nothing_comes(socket: Client, order: Any, shop: Shop) -> None:
    await order.apublish(shop.Paid(total=1))
    assert [one["type"] for one in await socket.settled()].count("event") == 0


async def test_a_client_whose_right_has_ended_is_removed_and_gets_nothing_more(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        await subscribed(socket, "news")
        await end_right(order)
        told = await socket.next("removed", topic=order.name)
        assert (told["code"], told["message"]) == ("unknown_topic", "There is no such topic.")
        assert "room" not in told
        await assert_nothing_comes(socket, order, shop)
        assert (await socket.ask("subscribe", topic=order.name))["code"] == "unknown_topic"
        await shop.NewsTopic().apublish(shop.Paid(total=5))  # the others stay
        assert (await socket.next("event"))["topic"] == "news"


async def test_a_client_that_may_stay_is_told_nothing(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        asked = len(shop.asked)
        await order.arefresh_rights()
        await eventually(lambda: len(shop.asked) > asked)
        await order.apublish(shop.Paid(total=1))
        await socket.next("event")
        assert not [one for one in socket.arrived if one["type"] == "removed"]


async def test_a_remembered_right_is_not_asked_for_again(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """Neither by calls nor by history; without a subscription, each asks."""
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        assert len(shop.asked) == 1
        for _ in range(3):
            await socket.ask("history", topic=order.name)
            await socket.ask("call", topic=order.name, name="cancel")
        assert len(shop.asked) == 1
        await socket.ask("unsubscribe", topic=order.name)
        await socket.ask("history", topic=order.name)
        await socket.ask("call", topic=order.name, name="cancel")
        assert len(shop.asked) == 3


async def test_a_call_after_a_change_of_rights_asks_first(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        await end_right(order, tell=False)
        [connection] = engine.connections.values()
        connection.events.on_topic_rights_changed(order.name)
        error = await socket.ask("call", topic=order.name, name="cancel")
        assert error["code"] == "unknown_topic"
        assert shop.instances == []


async def test_rights_are_asked_for_again_also_if_the_site_forgets_to_tell(
    shop: Shop, order: Any, ada: Any
) -> None:
    async with (
        testing.engine(TOPIC_RECHECK_SECONDS=0.1, **UNLIMITED),
        connect(ada) as socket,
    ):
        await subscribed(socket, order.name)
        await subscribed(socket, "news")
        await end_right(order, tell=False)
        await socket.next("removed", topic=order.name)
        await assert_nothing_comes(socket, order, shop)
        news = len([one for one in shop.asked if one == ["news"]])
        await eventually(lambda: len([one for one in shop.asked if one == ["news"]]) > news + 1)
    asked = len(shop.asked)
    await asyncio.sleep(0.3)
    assert len(shop.asked) == asked  # a closed connection asks nothing


async def test_a_changed_user_is_asked_about_again(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    """In all topics, with the changed user."""
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        await subscribed(socket, "news")
        asked = len(shop.asked)
        [connection] = engine.connections.values()
        connection.events.on_user_changed(connection.identity)
        await eventually(lambda: len(shop.asked) == asked + 2)


# Races.


async def test_a_change_while_a_client_subscribes_is_not_missed(
    shop: Shop, order: Any, ada: Any
) -> None:
    """The answer was right when it was given, and is old when the client is attached."""
    async with testing.engine(DB_THREADS=2, **UNLIMITED) as engine, connect(ada) as socket:
        await engine.hub.open_topic(order.name)
        release = shop.asking.open
        release.clear()
        socket.send("subscribe", topic=order.name, ref=1)
        await eventually(lambda: len(shop.asked) == 1)
        release.set()
        await end_right(order)
        answer = await socket.next()
        if answer["type"] == "subscribed":  # it was attached before the change
            await socket.next("removed", topic=order.name)
        await assert_nothing_comes(socket, order, shop)


async def test_rights_that_change_all_the_time_are_a_typed_error(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(topic: Any, rights: Any) -> bool:
        return False

    monkeypatch.setattr(engine.hub, "confirm_rights", never)
    async with connect(ada) as socket:
        error = await socket.ask("subscribe", topic=order.name)
        assert (error["code"], error["retryable"], error["retry_after"]) == ("unavailable", True, 1)
        monkeypatch.undo()
        await assert_nothing_comes(socket, order, shop)


async def test_the_end_of_a_right_and_a_new_one_are_seen_in_their_order(
    engine: Engine, shop: Shop, order: Any, private: Room, ada: Any
) -> None:
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        for _ in range(3):
            await end_right(order)
            await socket.next("removed", topic=order.name)
            await Membership.objects.acreate(room=private, user=ada)
            await order.arefresh_rights()
            await subscribed(socket, order.name)


# Failures.


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ZeroDivisionError("boom"), "internal"),
        (DataError("out of range"), "internal"),
        (Room.DoesNotExist(), "unknown_topic"),
        (PermissionDenied(), "unknown_topic"),
        (OperationalError("server closed the connection"), "unavailable"),
        (CommandError(ErrorCode.PERMISSION_DENIED, "Pay first."), "permission_denied"),
    ],
)
async def test_a_permission_that_fails_is_a_typed_error_and_no_subscription(
    engine: Engine, shop: Shop, order: Any, ada: Any, failure: Exception, code: str
) -> None:
    shop.failure = failure
    async with connect(ada) as socket:
        for kind, fields in (("subscribe", {}), ("history", {}), ("call", {"name": "cancel"})):
            error = await socket.ask(kind, topic=order.name, **fields)
            assert (error["type"], error["code"]) == ("error", code)
            assert (error["topic"], "outcome" in error) == (order.name, False)
        socket.send("subscribes", topics=[{"topic": order.name}, {"topic": "news"}])
        assert (await socket.next("error"))["code"] == code
        assert (await socket.next("subscribed"))["topic"] == "news"
        await assert_nothing_comes(socket, order, shop)
    assert shop.instances == []


async def test_a_permission_that_fails_spoils_no_answer_of_others(
    engine: Engine, shop: Shop, order: Any, ada: Any, bob: Any
) -> None:
    """Although they are asked together."""
    shop.failure = ZeroDivisionError()
    room = await Room.objects.acreate(slug="another")
    await Membership.objects.acreate(room=room, user=ada)
    async with connect(ada) as socket:
        topics = [{"topic": f"order/{pk}"} for pk in (order.pk, room.pk)]
        socket.send("subscribes", topics=[*topics, {"topic": f"parcel/{room.pk}"}])
        assert [(await socket.next())["type"] for _ in range(3)] == [
            "error",
            "error",
            "subscribed",
        ]


async def test_a_client_is_told_if_subscribing_again_ends_its_subscription(
    shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for events that never come."""
    async with testing.engine(DB_THREADS=2, **UNLIMITED) as engine, connect(ada) as socket:
        await subscribed(socket, order.name)
        await order.apublish(shop.Paid(total=1))
        await socket.next("event")
        topic = await engine.hub.open_topic(order.name)
        topic.ring.shrink()
        with monkeypatch.context() as patch, hanging(monkeypatch, TopicLog, "start"):
            patch.setattr(executor, "READ_SECONDS", 0.2)
            error = await socket.ask("subscribe", topic=order.name, history=5)
        assert (error["type"], error["code"]) == ("error", "unavailable")
        told = next(one for one in socket.arrived if one["type"] == "removed")
        assert (told["topic"], told["code"], told["retry_after"]) == (order.name, "unavailable", 1)
        assert told["message"] == "Your subscription to this topic has ended. Subscribe again."
        await subscribed(socket, order.name)
        await order.apublish(shop.Paid(total=2))
        assert (await socket.next("event"))["data"] == {"total": 2}


async def test_a_client_is_told_if_changing_rights_end_its_subscription(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have changed during each attempt; a first attempt ends nothing."""
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        await subscribed(socket, "news")
        attach = module.attach_entries

        async def changed(*args: Any, **options: Any) -> Any:
            page = await attach(*args, **options)
            [connection] = engine.connections.values()
            connection.events.on_rights_changed()
            return page

        with monkeypatch.context() as patch:
            patch.setattr(module, "attach_entries", changed)
            for name in (order.name, "cursors/a"):
                error = await socket.ask("subscribe", topic=name)
                assert error["code"] == "unavailable"
        told = [one for one in await socket.settled() if one["type"] == "removed"]
        told += [one for one in socket.arrived if one["type"] == "removed"]
        assert {one["topic"] for one in told} == {order.name}
        await shop.NewsTopic().apublish(shop.Paid(total=1))
        assert (await socket.next("event"))["topic"] == "news"


async def test_a_subscription_goes_on_if_a_refused_attempt_has_not_touched_it(
    shop: Shop, order: Any, ada: Any
) -> None:
    shop.failure = None
    async with testing.engine(**UNLIMITED), connect(ada) as socket:
        await subscribed(socket, order.name)
        shop.failure = OperationalError("server closed the connection")
        error = await socket.ask("subscribe", topic=order.name)
        assert error["code"] == "unavailable"
        shop.failure = None
        await order.apublish(shop.Paid(total=1))
        await socket.next("event")
        assert not [one for one in socket.arrived if one["type"] == "removed"]


async def test_permissions_that_hang_leave_other_classes_alone(
    shop: Shop, order: Any, ada: Any, bob: Any
) -> None:
    """Each of two questions at once takes a thread."""
    shop.asking.open.clear()
    async with (
        testing.engine(DB_THREADS=2, **UNLIMITED),
        connect(ada) as one,
        connect(bob) as other,
        connect(ada) as third,
    ):
        for number, socket in enumerate((one, other), 1):
            socket.send("subscribe", topic=order.name)
            await eventually(lambda number=number: len(shop.asking.begun) == number)
        await subscribed(third, "cursors/a")
        assert not shop.asking.open.is_set()
        shop.asking.open.set()
        assert (await one.next("subscribed"))["topic"] == order.name


async def test_a_permission_that_hangs_is_a_typed_error(
    shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other topics are decided meanwhile."""
    monkeypatch.setattr(executor, "READ_SECONDS", 0.3)
    async with testing.engine(DB_THREADS=2, **UNLIMITED), connect(ada) as socket:
        shop.asking.open.clear()
        error = await socket.ask("subscribe", topic=order.name)
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        await subscribed(socket, "news")
        shop.asking.open.set()
        await eventually(lambda: True)
        await subscribed(socket, order.name)


async def test_a_subscription_to_a_topic_that_is_none_any_more_ends(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter of the site may fail on a name that it once took."""

    def fail(name: str, identity: object) -> None:
        raise unknown_topic(name)

    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        with monkeypatch.context() as patched:
            patched.setattr(registry, "resolve", fail)
            await order.arefresh_rights()
            told = await socket.next("removed", topic=order.name)
        assert told["code"] == "unknown_topic"
        await assert_nothing_comes(socket, order, shop)


async def test_a_subscription_whose_permission_is_broken_ends(
    engine: Engine, shop: Shop, order: Any, ada: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A right that nobody can read any more is none."""
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        shop.failure = ZeroDivisionError()
        await order.arefresh_rights()
        told = await socket.next("removed", topic=order.name)
        assert told["code"] == "internal"
        assert "OrderTopic cannot decide who may subscribe" in caplog.text
        await assert_nothing_comes(socket, order, shop)


async def test_a_subscription_stays_while_the_database_is_away_and_then_is_decided(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "AGAIN_SECONDS", 0.02)
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        shop.failure = OperationalError("server closed the connection")
        asked = len(shop.asked)
        await end_right(order)
        await eventually(lambda: len(shop.asked) > asked + 3)
        assert not [one for one in await socket.settled() if one["type"] == "removed"]
        shop.failure = None
        await socket.next("removed", topic=order.name)


async def test_a_subscription_that_cannot_be_decided_for_long_ends(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(module, "UNDECIDED_SECONDS", 0.1)
    async with connect(ada) as socket:
        await subscribed(socket, order.name)
        shop.failure = OperationalError("server closed the connection")
        await order.arefresh_rights()
        told = await socket.next("removed", topic=order.name)
        assert (told["code"], told["retry_after"] > 0) == ("unavailable", True)
        shop.failure = None
        await assert_nothing_comes(socket, order, shop)
        await subscribed(socket, order.name)
