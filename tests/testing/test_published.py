"""What the site's code has published, as its tests see it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from harness.site import Sites
from realtime import push
from realtime.models import Room
from realtime.testing import (
    aassert_published,
    apublished,
    assert_published,
    committing,
    published,
)
from realtime.topics import Event, Topic
from realtime.topics.registry import registry
from tests.store.conftest import emptied


class Paid(Event):
    """An event."""

    total: Decimal
    note: str = ""


class Spot(Event):
    """A value."""

    lat: float


@pytest.fixture
def topic() -> Iterator[Topic]:
    with registry.isolated():

        class TillTopic(Topic):
            path = "till/<int:pk>"
            events = [Paid, Spot]
            keep = timedelta(days=7)
            pk: int

        yield TillTopic(pk=7)


@pytest.fixture(params=["sqlite", "postgres"], autouse=True)
def database(
    request: pytest.FixtureRequest, sites: Sites, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    with emptied(sites.database_url(request.param), django_db_blocker):
        yield


@pytest.fixture
def room() -> Room:
    return Room.objects.create(slug="general")


def test_events_are_structs_in_their_order(topic: Any) -> None:
    """Also those of an open transaction, which have no position yet."""
    topic.publish(Paid(total=Decimal("1.50")))
    with transaction.atomic():
        topic.publish(Paid(total=Decimal(2)))
        assert published(topic) == [Paid(total=Decimal("1.50")), Paid(total=Decimal(2))]
        transaction.set_rollback(True)
    assert published(topic) == [Paid(total=Decimal("1.50"))]


def test_inside_a_transaction_they_are_numbered_by_committing(topic: Any) -> None:
    """As after a commit."""
    with transaction.atomic():
        with committing():
            topic.publish(Paid(total=Decimal(1)))
        topic.publish(Paid(total=Decimal(2)))
        assert [one.total for one in published(topic)] == [1, 2]
        transaction.set_rollback(True)
    assert published(topic) == []


def test_a_key_has_its_last_value(topic: Any) -> None:
    """Whether that waits or not."""
    topic.set("a", Spot(lat=1))
    topic.set("b", Spot(lat=2))
    with transaction.atomic():
        topic.set("a", Spot(lat=3))
        topic.delete("b")
        topic.refresh_rights()
        assert published(topic) == [Spot(lat=3)]
    assert published(topic) == [Spot(lat=3)]


def test_an_event_is_found_by_itself_or_by_its_fields(topic: Any) -> None:
    """The newest that fits is returned."""
    topic.publish_many([Paid(total=Decimal(1), note="x"), Paid(total=Decimal(2), note="x")])
    assert assert_published(topic, Paid(total=Decimal(1), note="x")).total == 1
    assert assert_published(topic, Paid, note="x").total == 2
    assert assert_published(topic, Paid, total=Decimal("1")).note == "x"


def test_what_is_missing_is_told_with_what_there_is(topic: Any) -> None:
    with pytest.raises(AssertionError, match=r"No Paid was published in till/7. Nothing was\."):
        assert_published(topic, Paid)
    topic.publish(Spot(lat=1))
    with pytest.raises(AssertionError) as caught:
        assert_published(topic, Paid, note="x")
    assert str(caught.value) == (
        "No Paid with {'note': 'x'} was published in till/7. There are:\n  Spot(lat=1.0)"
    )
    with pytest.raises(AssertionError, match="There are"):
        assert_published(topic, Spot, lon=1)


def test_a_topic_that_stores_nothing_says_so() -> None:
    with registry.isolated():

        class LooseTopic(Topic):
            path = "loose-till"
            events = [Spot]

        with pytest.raises(ImproperlyConfigured, match="stores nothing"):
            published(LooseTopic())


def test_messages_that_wait_are_there_too(room: Room) -> None:
    """Without a position."""
    push.room(room).message("one", username="CI")
    with transaction.atomic():
        push.room(room).message("two", username="CI", data={"x": 1}, nonce="n")
        found = published(room)
        assert [one.content for one in found] == ["one", "two"]
        assert assert_published(room, data={"x": 1}, nonce="n").username == "CI"
        transaction.set_rollback(True)
    assert [one.content for one in published("general")] == ["one"]


async def test_the_twins_do_the_same(topic: Any) -> None:
    await topic.apublish(Paid(total=Decimal(1)))
    assert await apublished(topic) == [Paid(total=Decimal(1))]
    assert (await aassert_published(topic, Paid)).total == 1
    await aassert_published(topic, Paid, total=Decimal(1))
