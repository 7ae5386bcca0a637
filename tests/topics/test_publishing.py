"""Publish from the site's code: with the transaction, typed, and to nobody by mistake."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from realtime.errors import CommandError, ErrorCode
from realtime.models import Entry, Log, Pending
from realtime.topics import Event, InvalidEvent, Topic


class Paid(Event):
    """An event."""

    total: Decimal


class Spot(Event):
    """A value."""

    lat: float
    lon: float = 0


class Unlisted(Paid):
    """Not even if its base is listed."""


class OrderTopic(Topic):
    """Is stored."""

    path = "published/<int:pk>"
    events = [Paid, Spot]
    keep = timedelta(days=7)
    pk: int

    def may_subscribe(self) -> bool:
        return True


class Loose(Topic):
    """Is not stored."""

    path = "published-loose"
    events = [Paid]

    def may_subscribe(self) -> bool:
        return True


ORDER = OrderTopic(pk=7)
pytestmark = pytest.mark.usefixtures("database")


def told(topic: OrderTopic = ORDER) -> list[dict[str, Any]]:
    return [stored.data for stored in topic.history(100)]


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction or savepoint that is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def test_an_event_is_stored_and_read_back() -> None:
    assert ORDER.publish(Paid(Decimal("1.50"))).is_handed_over
    [stored] = ORDER.history()
    assert (stored.name, stored.seq, stored.data) == ("paid", 1, {"total": "1.50"})
    assert stored.event == Paid(Decimal("1.50"))
    assert Log.objects.get().name == "published/7"


def test_it_exists_if_and_only_if_the_transaction_commits() -> None:
    with transaction.atomic():
        ORDER.publish(Paid(Decimal(1)))
        with rolled_back():
            ORDER.publish(Paid(Decimal(2)))
        ORDER.publish(Paid(Decimal(3)))
    with rolled_back():
        ORDER.publish(Paid(Decimal(4)))
    assert told() == [{"total": "1"}, {"total": "3"}]
    assert not Pending.objects.exists()


def test_many_are_one_batch_in_their_order() -> None:
    ORDER.publish_many(Paid(Decimal(number)) for number in range(20))
    assert told() == [{"total": str(number)} for number in range(20)]
    with pytest.raises(InvalidEvent):
        ORDER.publish_many([Paid(Decimal(0)), Paid("x")])  # type: ignore[arg-type]
    assert len(told()) == 20
    ORDER.publish_many([])


def test_no_event_at_all_is_published_with_success() -> None:
    """A list may be empty, with `keep` and without."""
    assert ORDER.publish_many([])
    assert Loose().publish_many([]).is_handed_over


def test_a_nonce_is_stored_once() -> None:
    for _repeat in range(2):
        ORDER.publish(Paid(Decimal(1)), nonce="payment 5")
    [stored] = ORDER.history()
    assert stored.nonce == "payment 5"


def test_a_value_replaces_the_one_of_its_key() -> None:
    for lat in (1, 2):
        ORDER.set("courier", Spot(lat))
        ORDER.set("van", Spot(lat))
    ORDER.delete("van")
    ORDER.delete("nothing")
    assert {key: stored.event for key, stored in ORDER.values().items()} == {"courier": Spot(2)}
    assert ORDER.get("van") is None
    value = ORDER.get("courier")
    assert value is not None
    assert (value.key, value.seq, value.event) == ("courier", 3, Spot(2))
    assert told() == []


def test_many_values_are_set_at_once() -> None:
    ORDER.set_many({str(number): Spot(number) for number in range(50)}, expires=60)
    assert {key: stored.event for key, stored in ORDER.values().items()} == {
        str(number): Spot(number) for number in range(50)
    }
    assert Entry.objects.filter(expires_at=None).count() == 0


@pytest.mark.parametrize("expires", [timedelta(minutes=1), 60, 60.0])
def test_a_value_may_expire(expires: Any) -> None:
    ORDER.set("courier", Spot(1), expires=expires)
    entry = Entry.objects.get()
    assert entry.expires_at is not None
    assert entry.expires_at - entry.at == timedelta(minutes=1)


@pytest.mark.parametrize("expires", [0, -1, timedelta(0), float("nan"), float("inf"), 1e12])
def test_a_value_cannot_expire_before_or_never(expires: Any) -> None:
    with pytest.raises(InvalidEvent, match="expires after more than 0 seconds"):
        ORDER.set("courier", Spot(1), expires=expires)


def test_a_value_is_changed_only_if_nobody_else_has() -> None:
    assert ORDER.set("courier", Spot(1), if_seq=0) == 1
    assert ORDER.set("courier", Spot(2), if_seq=1) == 2
    for change in (
        lambda: ORDER.set("courier", Spot(3), if_seq=1),
        lambda: ORDER.set("courier", Spot(3), if_seq=0),
        lambda: ORDER.delete("courier", if_seq=1),
    ):
        with pytest.raises(CommandError) as caught:
            change()
        assert (caught.value.code, caught.value.topic) == (ErrorCode.CONFLICT, "published/7")
    assert ORDER.delete("courier", if_seq=2) == 3
    assert ORDER.set("courier", Spot(4), if_seq=0) == 4


def test_a_comparison_cannot_wait_for_a_transaction() -> None:
    with transaction.atomic():
        with pytest.raises(TransactionManagementError, match="call it after the commit"):
            ORDER.set("courier", Spot(1), if_seq=0)
        with pytest.raises(TransactionManagementError):
            ORDER.delete("courier", if_seq=1)
    assert ORDER.values() == {}


@pytest.mark.parametrize("key", ["", "k" * 201, "a\0", "\ud800"])
def test_a_key_that_cannot_be_stored_is_told(key: str) -> None:
    """And the open transaction goes on."""
    with transaction.atomic():
        for change in (lambda: ORDER.set(key, Spot(1)), lambda: ORDER.delete(key)):
            with pytest.raises(InvalidEvent, match="A key has 1 to 200 characters"):
                change()
        ORDER.publish(Paid(Decimal(1)))
    assert len(told()) == 1


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (Unlisted(Decimal(1)), "OrderTopic cannot publish Unlisted: its `events` list Paid, Spot."),
        (Paid, "OrderTopic cannot publish Paid: its `events`"),
        ({"total": 1}, "OrderTopic cannot publish dict"),
        (None, "OrderTopic cannot publish NoneType"),
    ],
)
def test_an_event_that_is_not_listed_is_told(event: Any, fault: str) -> None:
    with pytest.raises(TypeError) as caught:
        ORDER.publish(event)
    assert str(caught.value).startswith(fault)


def test_a_wrong_field_is_told_before_anything_is_stored() -> None:
    with pytest.raises(InvalidEvent, match=r"Expected `float`, got `str` - at `\$.lat`"):
        ORDER.set("courier", Spot("x"))  # type: ignore[arg-type]
    assert not Log.objects.exists()


@pytest.mark.parametrize(
    "action",
    [
        lambda: Loose().set("key", Paid(Decimal(1))),
        lambda: Loose().delete("key"),
        lambda: Loose().get("key"),
        lambda: Loose().values(),
        lambda: Loose().history(),
        lambda: Loose().publish(Paid(Decimal(1)), nonce="n"),
    ],
)
def test_a_topic_that_stores_nothing_says_so(action: Callable[[], object]) -> None:
    with pytest.raises(ImproperlyConfigured, match="Loose stores nothing, so it has no"):
        action()


def test_rights_change_with_the_commit() -> None:
    with transaction.atomic():
        ORDER.refresh_rights()
        Loose().refresh_rights()
        assert not Log.objects.filter(rights_seq__gt=0).exists() or connection.vendor == "sqlite"
    assert set(Log.objects.values_list("name", "rights_seq")) == {
        ("published/7", 1),
        ("published-loose", 1),
    }


def test_each_method_has_an_async_twin() -> None:
    async def publish() -> None:
        await ORDER.apublish(Paid(Decimal(1)))
        await ORDER.apublish_many([Paid(Decimal(2))])
        await ORDER.aset("courier", Spot(1))
        await ORDER.aset_many({"van": Spot(2)})
        await ORDER.adelete("van")
        await ORDER.arefresh_rights()
        value = await ORDER.aget("courier")
        assert value is not None
        assert value.event == Spot(1)
        assert list(await ORDER.avalues()) == ["courier"]
        assert [one.data for one in await ORDER.ahistory()] == [{"total": "1"}, {"total": "2"}]

    async_to_sync(publish)()
    names = {name for name in dir(Topic) if asyncio.iscoroutinefunction(getattr(Topic, name))}
    assert {name.removeprefix("a") for name in names} == {
        *("publish", "publish_many", "set", "set_many", "delete"),
        *("get", "values", "history", "refresh_rights", "object", "present", "signature"),
        *("publish_html", "remove_html", "refresh"),
    }


def test_a_stored_event_outlives_its_class() -> None:
    ORDER.publish(Paid(Decimal("1.50")))

    class Today(Topic):
        path = "published/<int:pk>"
        keep = timedelta(days=7)

    [stored] = Today(pk=7).history()  # type: ignore[call-arg]
    assert stored.data == {"total": "1.50"}
    with pytest.raises(ValueError, match="does not list an event 'paid' any more"):
        _ = stored.event

    class Paid2(Event, name="paid"):
        total: int

    Today.events = [Paid2]
    Today._events_by_name = None
    [stored] = Today(pk=7).history()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="Expected `int`, got `str`"):
        _ = stored.event


def test_a_page_ends_before_a_position() -> None:
    ORDER.publish_many(Paid(Decimal(number)) for number in range(9))
    assert [stored.seq for stored in ORDER.history(3)] == [7, 8, 9]
    assert [stored.seq for stored in ORDER.history(3, before=7)] == [4, 5, 6]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        ORDER.history(0)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("publish", [Paid(Decimal(1))]),
        ("publish_many", [[Paid(Decimal(1))]]),
        ("set", ["courier", Spot(1)]),
        ("set_many", [{"courier": Spot(1)}]),
        ("delete", ["courier"]),
        ("refresh_rights", []),
        ("get", ["courier"]),
        ("values", []),
        ("history", []),
    ],
)
def test_async_code_is_told_to_call_the_twin(method: str, arguments: list[Any]) -> None:
    async def run() -> None:
        getattr(ORDER, method)(*arguments)

    with pytest.raises(SynchronousOnlyOperation) as caught:
        asyncio.run(run())
    fault = f"OrderTopic.{method}() cannot be called from async code"
    assert str(caught.value) == f"{fault}: write `await self.a{method}(…)`."


def test_async_code_may_publish_what_is_not_stored() -> None:
    async def run() -> None:
        Loose().publish(Paid(Decimal(1)))

    asyncio.run(run())
