"""Pages that subscribe by a signature: from their moment on, and perhaps without a question."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.test import RequestFactory

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import retention, testing
from realtime.auth.guests import new_guest, token_of
from realtime.models import Entry, Log, Room
from realtime.testing import Refused, clock, connect
from realtime.topics import Event, Topic
from realtime.topics.registry import registry


class Paid(Event):
    total: int


class Site:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed = True
        site = self

        class OrderTopic(Topic):
            path = "order/<int:pk>"
            events = [Paid]
            keep = timedelta(days=1)
            pk: int

            def may_subscribe(self) -> bool:
                site.asked.append(self.identity.username)
                return site.allowed

        class SecretTopic(OrderTopic):
            path = "secret/<int:pk>"
            signed = True

        self.order, self.secret = OrderTopic(pk=7), SecretTopic(pk=7)


@pytest.fixture
def site(room: Room) -> Iterator[Site]:
    with registry.isolated():
        yield Site()


@pytest.fixture
async def running(site: Site) -> AsyncIterator[None]:
    async with testing.engine(GUESTS=True, **UNLIMITED):
        yield


def page(user: Any = None) -> Any:
    request = RequestFactory().get("/")
    if user is not None:
        request.user = user
    return request


@sync_to_async
def age(topic: Topic, **span: Any) -> None:
    """Make everything that is published so far older."""
    Entry.objects.filter(log__name=topic.name).update(at=F("at") - timedelta(**span))
    Log.objects.filter(name=topic.name).update(last_at=F("last_at") - timedelta(**span))


def totals(found: dict[str, Any]) -> list[int]:
    return [one["data"]["total"] for one in found["entries"]]


@pytest.mark.usefixtures("running")
async def test_a_page_gets_what_came_after_its_request_began(site: Site, ada: Any) -> None:
    order = site.order
    await order.apublish(Paid(total=1))
    await age(order, minutes=1)
    text = await order.asignature(page(ada))
    await order.apublish(Paid(total=2))
    await order.aset("last", Paid(total=3))
    async with connect(ada) as client:
        found = await client.subscribe(order, since={"at": text})
        assert (totals(found), found["recovered"], found["through"]) == ([2, 3], True, 3)
        await order.apublish(Paid(total=4))
        assert (await client.next(Paid)).total == 4


@pytest.mark.usefixtures("running")
async def test_a_page_of_a_topic_without_entries_begins_at_once(site: Site, ada: Any) -> None:
    text = await site.order.asignature(page())
    async with connect(ada) as client:
        found = await client.subscribe(site.order, since={"at": text})
        assert (found["entries"], found["recovered"], found["through"]) == ([], True, 0)
        await site.order.apublish(Paid(total=1))
        assert (await client.next(Paid)).total == 1


@pytest.mark.usefixtures("running")
async def test_what_was_purged_before_the_page_is_not_missing(site: Site, ada: Any) -> None:
    """Only entries that the page may lack make it begin anew."""
    order = site.order
    for total in (1, 2):
        await order.apublish(Paid(total=total))
    await age(order, days=2)
    await retention.aprune()
    text = await order.asignature(page())
    await order.apublish(Paid(total=3))
    async with connect(ada) as client:
        found = await client.subscribe(order, since={"at": text})
        assert (totals(found), found["recovered"]) == ([3], True)
        type(order).keep = timedelta(seconds=1)  # so entries after the page may be gone
        found = await client.subscribe(order, since={"at": text})
        assert (totals(found), found["recovered"]) == ([], False)


@pytest.mark.usefixtures("running")
async def test_the_moment_of_a_page_permits_nothing(site: Site, ada: Any) -> None:
    text = await site.order.asignature(page(ada))
    site.allowed = False
    async with connect(ada) as client:
        for fields in ({"since": {"at": text}}, {"signature": text}):
            with pytest.raises(Refused) as refused:
                await client.subscribe(site.order, **fields)
            assert refused.value.code == "unknown_topic"


@pytest.mark.usefixtures("running")
async def test_a_signature_is_refused_with_its_field(site: Site, ada: Any, bob: Any) -> None:
    text = await site.order.asignature(page(ada))
    async with connect(bob) as client:
        for fields, path in (
            ({"since": {"at": text}}, "since.at"),
            ({"signature": text}, "signature"),
            ({"signature": "forged"}, "signature"),
        ):
            with pytest.raises(Refused) as refused:
                await client.subscribe(site.order, **fields)
            assert (refused.value.code, refused.value.path) == ("invalid_signature", path)
            assert refused.value.reply["topic"] == "order/7"


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("since", "path"),
    [
        ({}, "since.seq"),
        ({"seq": 1}, "since.epoch"),
        ({"at": "x", "seq": 1, "epoch": ""}, "since"),
        ({"at": ""}, "since.at"),
        ({"at": "x" * 5000}, "since.at"),
    ],
)
async def test_a_start_is_a_position_or_a_moment(
    site: Site, ada: Any, since: dict[str, Any], path: str
) -> None:
    async with connect(ada) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe(site.order, since=since)
        assert (refused.value.code, refused.value.path) == ("invalid_message", path)


@pytest.mark.usefixtures("running")
async def test_a_signed_page_subscribes_without_a_question(site: Site, ada: Any) -> None:
    """And resumes so, also after the first entry has made the log."""
    site.allowed = False
    text = await site.secret.asignature(page(ada))
    async with connect(ada) as client:
        await client.subscribe(site.secret, since={"at": text})
        await site.secret.apublish(Paid(total=1))
        assert (await client.next(Paid)).total == 1
        found = await client.subscribe(site.secret, since={"seq": 0, "epoch": ""}, signature=text)
        assert totals(found) == [1]
        history = await client.command("history", topic=site.secret.name)
        assert totals(history) == [1]
        assert site.asked == []
        await client.unsubscribe(site.secret)
        with pytest.raises(Refused):
            await client.subscribe(site.secret)
        assert site.asked == ["ada"]


@pytest.mark.usefixtures("running")
async def test_a_change_of_rights_voids_signed_pages(site: Site, ada: Any) -> None:
    """Then `may_subscribe` decides."""
    text = await site.secret.asignature(page(ada))
    async with connect(ada) as client:
        await client.subscribe(site.secret, signature=text)
        await site.secret.arefresh_rights()
        await eventually(lambda: set(site.asked) == {"ada"})
        site.allowed = False
        await site.secret.arefresh_rights()
        assert (await client.next("removed"))["topic"] == "secret/7"
        with pytest.raises(Refused) as refused:
            await client.subscribe(site.secret, signature=text)
        assert refused.value.code == "unknown_topic"
        again = await site.secret.asignature(page(ada))
        await client.subscribe(site.secret, signature=again)


@pytest.mark.usefixtures("running")
async def test_a_signed_page_of_a_guest_needs_its_identity(site: Site) -> None:
    site.allowed = False
    guest = new_guest()
    anonymous = await site.secret.asignature(page())
    text = await site.secret.asignature(page(), identity=guest)
    async with connect(token=token_of(guest)) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe(site.secret, signature=anonymous)
        assert refused.value.code == "unknown_topic"
        await client.subscribe(site.secret, signature=text)


async def test_a_signed_subscription_ends_with_its_signature(site: Site, ada: Any) -> None:
    """`may_subscribe` is asked then."""
    async with clock() as moved, testing.engine(TOPIC_RECHECK_SECONDS=60, **UNLIMITED):
        text = await site.secret.asignature(page(ada))
        async with connect(ada) as client:
            await client.subscribe(site.secret, signature=text)
            await moved.advance(100)
            assert site.asked == []
            site.allowed = False
            await moved.jump(12 * 3600)
            await moved.advance(100)
            assert (await client.next("removed"))["topic"] == "secret/7"
            with pytest.raises(Refused) as refused:
                await client.subscribe(site.secret, signature=text)
            assert refused.value.code == "signature_expired"


@pytest.mark.usefixtures("running")
async def test_many_signed_pages_are_each_decided_by_their_own(
    site: Site, ada: Any, bob: Any
) -> None:
    """A question of another connection about the same topic has no part in it."""
    text = await site.secret.asignature(page(ada))
    site.allowed = False
    async with connect(ada) as client:
        client.send(
            "subscribes",
            topics=[{"topic": "secret/7", "signature": text}, {"topic": "secret/8"}],
        )
        assert (await client.next("subscribed"))["topic"] == "secret/7"
        assert (await client.next("error"))["topic"] == "secret/8"
    async with connect(ada) as client:
        client.send("subscribe", topic="secret/7")
        client.send("subscribe", topic="secret/7", signature=text)
        assert (await client.next("error"))["code"] == "unknown_topic"
        assert (await client.next("subscribed"))["topic"] == "secret/7"
