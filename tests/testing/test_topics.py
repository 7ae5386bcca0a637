"""A client that subscribes to topics, as a site's own test uses it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from realtime.testing import (
    NotArrived,
    Refused,
    aassert_published,
    clock,
    connect,
    engine,
    lose_layer_messages,
)
from realtime.topics import Command, CommandError, ErrorCode, Event, Topic, command
from realtime.topics.registry import registry

pytestmark = pytest.mark.usefixtures("room")


class Paid(Event):
    """An event."""

    total: Decimal


class Spot(Event):
    """A value."""

    lat: float
    lon: float = 0


class Named:
    """A row that has a name, and is no topic."""

    name = "stall/7"


class Cancel(Command):
    """A command."""

    reason: str


class Cancelled(Event):
    """The reply, and an event."""

    reason: str


@pytest.fixture
def topic() -> Iterator[Topic]:
    with registry.isolated():

        class StallTopic(Topic):
            path = "stall/<int:pk>"
            events = [Paid, Spot, Cancelled]
            keep = timedelta(days=7)
            pk: int

            def may_subscribe(self) -> bool:
                return self.pk == 7

            @command
            def cancel(self, command: Cancel) -> Cancelled:
                if not command.reason:
                    raise CommandError(ErrorCode.PERMISSION_DENIED, "Say why.")
                self.publish(Cancelled(reason=command.reason))
                return Cancelled(reason=command.reason)

        yield StallTopic(pk=7)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_subscriber_gets_events_as_structs(topic: Any, ada: Any, encoding: str) -> None:
    async with connect(ada, encoding=encoding) as client:
        subscribed = await client.subscribe(topic)
        assert subscribed["entries"] == []
        await topic.apublish(Paid(total=Decimal("9.90")))
        assert await client.next(Paid) == Paid(total=Decimal("9.90"))
        await topic.aset("a", Spot(lat=1))
        assert (await client.next("event", key="a"))["data"]["lat"] == 1


async def test_a_call_returns_the_data_of_its_result(topic: Any, ada: Any) -> None:
    """By a struct or by name; an error is raised."""
    async with connect(ada) as client:
        await client.subscribe(topic)
        assert await client.call(topic, Cancel(reason="late")) == {"reason": "late"}
        assert await client.next(Cancelled, topic=topic.name) == Cancelled(reason="late")
        assert await client.call("stall/7", "cancel", {"reason": "x"}) == {"reason": "x"}
        await aassert_published(topic, Cancelled(reason="x"))
        with pytest.raises(Refused, match="Say why"):
            await client.call(topic, Cancel(reason=""))
        with pytest.raises(Refused) as caught:
            await client.call(topic, "cancel", {"reason": 7})
        assert caught.value.reply["path"] == "data.reason"


async def test_the_page_of_testing_does_what_it_says(topic: Any, ada: Any) -> None:
    from tests.testing.test_page import SNIPPETS, run_snippet

    structs = {"Cancel": Cancel, "Cancelled": Cancelled, "Spot": Spot}
    for number in (3, 4):
        await run_snippet(SNIPPETS[number], ada=ada, order=topic, **structs)


async def test_a_topic_that_is_not_for_the_client_is_unknown(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        with pytest.raises(Refused) as caught:
            await client.subscribe("stall/8")
        assert caught.value.code == "unknown_topic"


async def test_a_client_resumes_its_topics(topic: Any, ada: Any) -> None:
    """Each event and each value once."""
    async with connect(ada) as client:
        await client.subscribe(topic)
        await topic.apublish(Paid(total=Decimal(1)))
        await client.next(Paid)
        await client.drop_connection()
        await topic.apublish(Paid(total=Decimal(2)))
        await topic.aset("a", Spot(lat=1))
        [subscribed] = await client.resume()
        assert subscribed["recovered"] is True
        assert (await client.next(Paid)).total == 2
        assert (await client.next(Spot)).lat == 1
        await topic.apublish(Paid(total=Decimal(3)))
        assert (await client.next(Paid)).total == 3
        assert [one for one in await client.settled() if one["type"] == "event"] == []


async def test_a_client_that_has_missed_many_pages_resumes_all_and_is_subscribed(
    topic: Any, ada: Any
) -> None:
    async with connect(ada) as client:
        await client.subscribe(topic)
        await topic.apublish(Paid(total=Decimal(0)))
        await client.next(Paid)
        await client.drop_connection()
        await topic.aset_many({str(number): Spot(lat=number) for number in range(1100)})
        [subscribed] = await client.resume()
        assert (subscribed["recovered"], len(subscribed["entries"])) == (True, 1100)
        await topic.apublish(Paid(total=Decimal(2)))
        assert (await client.next(Paid)).total == 2


async def test_an_ended_subscription_is_not_resumed(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        await client.subscribe(topic)
        await client.unsubscribe(topic)
        await client.drop_connection()
        assert await client.resume() == []


async def test_all_pages_of_a_large_topic_are_read(topic: Any, ada: Any) -> None:
    """With one call, as a page of the site does."""
    await topic.aset_many({str(number): Spot(lat=number) for number in range(1200)})
    async with connect(ada) as client:
        entries = (await client.subscribe(topic))["entries"]
        assert {one["key"] for one in entries} == set(map(str, range(1200)))


async def test_a_lost_event_comes_with_the_next_one(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        await client.subscribe(topic)
        lose_layer_messages(1)
        for total in (1, 2):
            await topic.apublish(Paid(total=Decimal(total)))
        assert [(await client.next(Paid)).total for _ in range(2)] == [1, 2]


async def test_a_value_expires_as_the_clock_moves(topic: Any, ada: Any) -> None:
    async with clock() as moved, connect(ada) as client:
        await client.subscribe(topic)
        await topic.aset("a", Spot(lat=1), expires=30)
        await client.next(Spot)
        await moved.advance(20)
        assert await client.settled() == []
        await moved.advance(20)
        assert (await client.next("event", key="a"))["deleted"] is True


async def test_a_class_stands_for_values_and_not_for_their_deletions(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        await client.subscribe(topic)
        await topic.aset("a", Spot(lat=1))
        await topic.adelete("a")
        await topic.aset("b", Spot(lat=2))
        assert [(await client.next(Spot)).lat for _ in range(2)] == [1, 2]
        assert (await client.next("event", key="a"))["deleted"] is True


async def test_what_has_not_come_is_named_by_its_class(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        await client.subscribe(topic)
        with pytest.raises(NotArrived, match=r"^a Spot with {'key': 'a'} has not come"):
            await client.next(Spot, key="a", timeout=0)


@pytest.mark.parametrize("given", [Named(), Topic, None])
async def test_what_is_no_topic_is_refused_with_what_to_pass(ada: Any, given: Any) -> None:
    """Also a row of a model, which may have a `name`."""
    async with connect(ada) as client:
        for give in (client.subscribe, client.unsubscribe, lambda it: client.call(it, "cancel")):
            with pytest.raises(TypeError, match=r"`OrderTopic\.of\(order\)`.*, not "):
                await give(given)


async def test_an_error_has_all_fields_of_the_reply(topic: Any, ada: Any) -> None:
    async with connect(ada) as client:
        with pytest.raises(Refused) as caught:
            await client.call(topic, "cancel", {"reason": 7})
    error = caught.value
    assert (error.topic, error.path, error.outcome) == ("stall/7", "data.reason", None)
    reply = {"type": "error", "code": "unavailable", "message": "Wait.", "outcome": "unknown"}
    error = Refused(reply | {"room": "a", "topic": "b", "path": "c", "ref": 1, "retry_after": 2})
    assert (error.room, error.topic, error.path, error.ref) == ("a", "b", "c", 1)
    assert (error.outcome, error.retry_after) == ("unknown", 2)


async def test_rights_that_are_refreshed_end_a_subscription(topic: Any, ada: Any) -> None:
    async with engine(), connect(ada) as client:
        await client.subscribe(topic)
        type(topic).may_subscribe = lambda self: False
        await topic.arefresh_rights()
        assert (await client.next("removed"))["topic"] == "stall/7"
