"""What is published in transactions reaches subscribers, whoever numbers it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.utils import timezone

from harness.site import environment
from harness.waiting import eventually
from realtime.engine.bus.publisher import publisher
from realtime.engine.engine import Engine
from realtime.errors import CommandError, ErrorCode
from realtime.models import Entry, Log, Pending, Room
from realtime.store.outbox import pending
from realtime.store.topics.drafts import EntryDraft
from realtime.topics import Event, InvalidEvent, Topic
from tests.engine import topic_log
from tests.engine.conftest import UseLayer
from tests.engine.ends import in_thread
from tests.engine.process import Process
from tests.engine.subscriber import Subscriber, encoded, reached
from tests.engine.topic_log import event, rights, value
from tests.test_push import stop_publisher

ORDER = "order/7"


@pytest.fixture
async def engine(either: str) -> AsyncIterator[Engine]:
    """A whole engine; its pulse does not come during a test."""
    made = await Engine.current()
    yield made
    await made.stop()
    made.unregister()


@pytest.fixture
async def subscriber(engine: Engine) -> Subscriber:
    made = Subscriber(engine, "one.1")
    await made.subscribe(ORDER)
    return made


def publish(*drafts: EntryDraft) -> None:
    """Publish in one transaction."""
    with transaction.atomic():
        pending.publish(drafts)


def publish_in_vain(*drafts: EntryDraft) -> None:
    """Publish in a transaction that is rolled back."""
    with transaction.atomic():
        pending.publish(drafts)
        transaction.set_rollback(True)


async def test_a_transaction_is_told_after_its_commit(subscriber: Subscriber) -> None:
    """In its order, and nothing of one that was rolled back."""
    await in_thread(publish, event(ORDER, "a"), value(ORDER, "k", "b"))
    await in_thread(publish_in_vain, event(ORDER, "no"))
    await in_thread(publish, event(ORDER, "c"))
    await reached(subscriber, 3)
    shown = subscriber.known()
    assert (shown.faults, shown.events) == ([], {1: {"text": "a"}, 3: {"text": "c"}})
    assert shown.values == {"k": {"text": "b"}}


async def test_many_transactions_at_once_are_told_once_each(
    subscriber: Subscriber, engine: Engine
) -> None:
    """Beside events of the writer."""
    jobs = [in_thread(publish, event(ORDER, f"t{number}")) for number in range(20)]
    writes = [engine.writer.write(event(ORDER, f"w{number}")) for number in range(20)]
    await asyncio.gather(*jobs, *writes)
    await reached(subscriber, 40)
    shown = subscriber.known()
    assert shown.faults == []
    assert len({str(one) for one in shown.events.values()}) == 40


async def test_a_change_of_rights_is_told_after_the_commit(subscriber: Subscriber) -> None:
    """The members ask again."""
    await in_thread(publish, rights(ORDER))
    await eventually(lambda: subscriber.rechecked == [ORDER])


async def test_what_nobody_numbers_is_numbered_by_the_pulse(
    engine: Engine, subscriber: Subscriber
) -> None:
    """A publisher may be killed right after its commit."""
    old = timezone.now() - timedelta(seconds=2)
    row = {"topic": ORDER, "kind": "event", "type": "told", "created_at": old}
    await in_thread(lambda: Pending.objects.create(**row, data='{"text":"a"}'))
    await engine._pulse._number_pending()
    await reached(subscriber, 1)
    assert subscriber.known().events == {1: {"text": "a"}}


async def test_the_pulse_deletes_values_whose_time_is_over(
    engine: Engine, subscriber: Subscriber
) -> None:
    """Clients are told as of any deletion."""
    await engine.writer.write(value(ORDER, "k", "a"))
    await engine.writer.write(value(ORDER, "stays", "b"))
    over = timezone.now() - timedelta(seconds=1)
    await in_thread(lambda: Entry.objects.filter(key="k").update(expires_at=over))
    await engine._pulse._expire()
    await reached(subscriber, 3)
    assert subscriber.known().values == {"stays": {"text": "b"}}


async def test_an_engine_that_stops_leaves_the_numbering_to_the_caller(
    engine: Engine, subscriber: Subscriber
) -> None:
    """Its writer may have ended."""
    await engine.stop()
    await in_thread(publish, event(ORDER, "a"))
    assert await in_thread(lambda: Entry.objects.filter(log__name=ORDER).count()) == 1


async def test_a_slow_sweep_does_not_delay_the_lease(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for locks, and runs at most once at a time."""
    going, runs = asyncio.Event(), []

    async def number(self: Any) -> None:
        runs.append(1)
        await going.wait()

    monkeypatch.setattr(type(engine._pulse), "_number_pending", number)
    engine._pulse._start_sweep()
    await asyncio.sleep(0)
    engine._pulse._start_sweep()
    await engine._pulse._renew_lease()
    assert runs == [1]
    going.set()
    await eventually(lambda: engine._pulse._sweep is not None and engine._pulse._sweep.done())


async def test_a_right_ends_before_the_layer_has_answered(
    engine: Engine, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pulse waits for its probe, and for notes that are under way, only with positions."""
    await engine.writer.write(event(ORDER, "a"))
    answered = asyncio.Event()

    async def probe(self: Any, topic: str, seconds: float) -> bool:
        return await answered.wait()

    monkeypatch.setattr(type(engine.hub.layer), "probe", probe)
    await in_thread(lambda: Log.objects.filter(name=ORDER).update(rights_seq=7))
    comparing = asyncio.create_task(engine._pulse._compare())
    await eventually(lambda: subscriber.rechecked == [ORDER])
    assert not comparing.done()
    answered.set()
    await comparing


async def test_what_a_killed_publisher_has_committed_is_told_once(postgres: str) -> None:
    """Also if it was killed between the commit and the numbering, and nothing else of it."""
    engine = await Engine.current()
    subscriber = Subscriber(engine, "one.1")
    await subscriber.subscribe(ORDER)
    module = "tests.engine.publisher_that_dies"
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, ORDER, f"p{number}"), env=environment(postgres)
        )
        for number in range(6)
    ]
    assert {await child.wait() for child in children} == {-signal.SIGKILL}
    await in_thread(lambda: Pending.objects.update(created_at=timezone.now() - timedelta(days=1)))
    await engine._pulse._number_pending()
    await engine.hub.follower.catch_up(await engine.hub.open_topic(ORDER))
    committed = await in_thread(lambda: sorted(Room.objects.values_list("slug", flat=True)))
    assert committed
    await reached(subscriber, len(committed))
    shown = subscriber.known()
    assert shown.faults == []
    assert sorted(one["text"] for one in shown.events.values()) == committed
    await engine.stop()
    engine.unregister()


# Async code of the site, in the event loop of the engine.


class Told(Event):
    """An event and a value."""

    text: str


class Written(Topic):
    """Is stored."""

    path = "written/<int:pk>"
    events = [Told]
    keep = timedelta(days=7)
    pk: int


WRITTEN = Written(pk=7)


async def test_async_code_publishes_through_the_writer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many at once are one batch, in their order."""
    subscriber = Subscriber(engine, "one.1")
    await subscriber.subscribe(WRITTEN.name)
    monkeypatch.setattr(pending, "publish", None)
    calls = [WRITTEN.apublish(Told(str(number))) for number in range(20)]
    assert all(await asyncio.gather(*calls))
    assert await WRITTEN.aset("k", Told("a"), if_seq=0) == 21
    with pytest.raises(CommandError) as caught:
        await WRITTEN.aset("k", Told("b"), if_seq=20)
    assert caught.value.code == ErrorCode.CONFLICT
    assert await WRITTEN.aset("k", Told("b")) is None
    assert await WRITTEN.adelete("k") is None
    with pytest.raises(InvalidEvent):
        await WRITTEN.aset("", Told("b"))
    await reached(subscriber, 23)
    shown = subscriber.known()
    assert (shown.faults, shown.values) == ([], {})
    assert [one["text"] for one in shown.events.values()] == list(map(str, range(20)))


async def test_a_nonce_stores_one_event_of_several_calls(engine: Engine) -> None:
    """Whatever the writer does with its own."""
    calls = [WRITTEN.apublish(Told("a"), nonce="once") for _ in range(3)]
    await asyncio.gather(*calls)
    assert await in_thread(topic_log.end, WRITTEN.name) == 1


async def test_async_code_under_sync_code_shares_its_transaction(engine: Engine) -> None:
    """A rollback of the caller takes the event with it."""

    def work() -> None:
        with transaction.atomic():
            async_to_sync(WRITTEN.apublish)(Told("no"))
            async_to_sync(WRITTEN.aset)("k", Told("no"))
            transaction.set_rollback(True)
        with transaction.atomic():
            async_to_sync(WRITTEN.apublish)(Told("yes"))

    await sync_to_async(work)()
    await sync_to_async(connections.close_all)()
    subscriber = Subscriber(engine, "one.1")
    await subscriber.subscribe(WRITTEN.name, history=9)
    await reached(subscriber, 1)
    assert subscriber.known().events == {1: {"text": "yes"}}


# A process without sockets, and one with sockets, on one Redis.


@pytest.fixture(params=["pubsub", "core"])
def shared(request: pytest.FixtureRequest, use_layer: UseLayer, redis_url: str) -> Iterator[str]:
    use_layer(request.param, redis_url)
    publisher.reset()
    yield str(request.param)
    stop_publisher("flush" if request.param == "pubsub" else "close_pools")


async def test_a_process_without_an_engine_tells_the_others(either: str, shared: str) -> None:
    """It numbers in its own thread after the commit, and publishes from there."""
    async with Process() as process:
        subscriber = Subscriber(process, "one.1")
        await subscriber.subscribe(ORDER)
        await in_thread(publish, event(ORDER, "a"), event(ORDER, "b"))
        await reached(subscriber, 2)
        await in_thread(publish, rights(ORDER))
        await eventually(lambda: subscriber.rechecked == [ORDER])
        assert subscriber.known().faults == []


async def test_subscribers_of_two_processes_get_everything_once_and_in_order(
    either: str, shared: str
) -> None:
    """Both write and both receive, while notes are lost."""
    async with Process("one") as one, Process("two") as two:
        ends = [Subscriber(one, "one.1"), Subscriber(two, "two.1")]
        for end in ends:
            await end.subscribe(ORDER)
        for number in range(60):
            writer = (one, two)[number % 2]
            draft = value(ORDER, f"k{number % 7}", str(number)) if number % 3 else event(ORDER, "e")
            for stored in await writer.db.write(topic_log.publish, draft):
                if number % 5:
                    writer.hub.publish_entry(stored)
        for end in ends:
            await end.process.hub.follower.catch_up(await end.process.hub.open_topic(ORDER))
            await reached(end, 60)
        truth = await one.db.read(topic_log.values, ORDER)
        for end in ends:
            shown = end.known()
            assert (shown.faults, len(shown.events)) == ([], 20)
            assert encoded(shown.values) == truth
