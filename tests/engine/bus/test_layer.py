"""One contract for every channel layer, and what happens when it goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import BaseChannelLayer, channel_layers
from django.db import OperationalError

from harness.services import Redis
from harness.waiting import eventually
from realtime.engine.bus import layer as module
from realtime.engine.bus import note_queue
from realtime.engine.bus.layer import Layer, envelope, group
from realtime.engine.bus.notes import Broadcast, LogEvent, Probe
from realtime.engine.engine import EVERYONE, user_topic
from tests.engine.conftest import UseLayer

Received = list[tuple[str, list[Any]]]
SITE = "0123456789abcdef"
NO_SITES: Mapping[str, str] = {}


class Receiver:
    """A process's end of the layer, and the notes that it has received."""

    def __init__(self, origin: str, site: str = SITE) -> None:
        self.received: Received = []
        self.site = site
        self.layer = Layer(origin, lambda *what: self.received.append(what), self.find_site)

    async def find_site(self) -> str:
        return self.site

    def notes(self, topic: str) -> list[Any]:
        """Return the notes of a topic as they were on the wire."""
        return [note for name, notes in self.received if name == topic for note in notes]


@asynccontextmanager
async def receivers(
    *origins: str, sites: Mapping[str, str] = NO_SITES
) -> AsyncIterator[list[Receiver]]:
    made = [Receiver(origin, sites.get(origin, SITE)) for origin in origins]
    for receiver in made:
        receiver.layer.start()
    try:
        yield made
    finally:
        for receiver in made:
            await receiver.layer.stop()


@pytest.fixture(params=["pubsub", "core"])
def shared(request: pytest.FixtureRequest, use_layer: UseLayer, redis_url: str) -> str:
    """A layer that processes share."""
    use_layer(request.param, redis_url)
    return str(request.param)


# Every layer.


async def test_a_probe_proves_that_a_subscription_works(any_layer: str) -> None:
    """A probe that comes back through the group shows that the subscription took effect."""
    async with receivers("one") as [one]:
        assert await one.layer.subscribe("room.1")
        assert await one.layer.probe("room.1", 5)
        assert one.layer.is_shared is (any_layer != "memory")
        assert not one.layer.is_away


async def test_a_process_does_not_receive_its_own_notes(any_layer: str) -> None:
    """The members of its own process have it already."""
    async with receivers("one") as [one]:
        await one.layer.subscribe("room.1")
        one.layer.publish("room.1", Broadcast("hi", ""))
        assert await one.layer.probe("room.1", 5)
        assert one.received == []


async def test_renewing_and_reopening_change_nothing_that_works(any_layer: str) -> None:
    """A subscription that is made again still works."""
    async with receivers("one") as [one]:
        await one.layer.subscribe("room.1")
        await one.layer.resubscribe()
        assert await one.layer.probe("room.1", 5)
        if one.layer.is_shared:
            await one.layer.reopen()
            await eventually_probed(one, "room.1")


async def test_stopping_what_was_never_started_is_harmless(any_layer: str) -> None:
    """An engine may fail before it begins."""
    receiver = Receiver("one")
    receiver.layer.publish("room.1", Broadcast("hi", ""))
    if not receiver.layer.is_shared:
        await receiver.layer.stop()
        assert receiver.received == []


async def eventually_probed(receiver: Receiver, topic: str, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await receiver.layer.probe(topic, 0.2):
            pass


# Layers that processes share.


async def test_another_process_receives_notes_in_order_and_unchanged(shared: str) -> None:
    """Strings, numbers and None arrive unchanged, with the name of their origin."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        notes = [LogEvent(number, None, "é", "😀") for number in range(200)]
        for note in notes:
            one.layer.publish("room.1", note)
        await eventually(lambda: len(two.notes("room.1")) == 200)
        assert two.notes("room.1") == [["log", number, None, "é", "😀"] for number in range(200)]


async def test_only_subscribers_receive_a_topic(shared: str) -> None:
    """The work of Redis grows with the number of subscribers."""
    async with receivers("one", "two", "three") as [one, two, three]:
        await two.layer.subscribe("room.1")
        await three.layer.subscribe("room.2")
        for receiver, topic in ((two, "room.1"), (three, "room.2")):
            assert await receiver.layer.probe(topic, 5)
        one.layer.publish("room.1", Broadcast("one", ""))
        one.layer.publish("room.2", Broadcast("two", ""))
        await eventually(lambda: two.received and three.received)
        assert two.notes("room.1") == [["say", "one", ""]]
        assert three.notes("room.2") == [["say", "two", ""]]
        assert not two.notes("room.2")


async def test_an_unsubscribed_topic_is_not_received(shared: str) -> None:
    """And can be entered again."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        await two.layer.subscribe("room.2")
        await two.layer.unsubscribe("room.1")
        assert await two.layer.probe("room.2", 5)
        one.layer.publish("room.1", Broadcast("lost", ""))
        one.layer.publish("room.2", Broadcast("end", ""))
        await eventually(lambda: two.notes("room.2"))
        assert two.notes("room.1") == []
        assert not await two.layer.probe("room.1", 0.1)
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)


async def test_what_waits_for_one_topic_goes_as_one_message(shared: str) -> None:
    """A burst is few layer messages; its order over topics is kept."""
    async with receivers("one", "two") as [one, two]:
        for topic in ("room.1", "room.2"):
            await two.layer.subscribe(topic)
            assert await two.layer.probe(topic, 5)
        for number in range(5):
            one.layer.publish("room.1", Broadcast(str(number), ""))
        one.layer.publish("room.2", Broadcast("between", ""))
        one.layer.publish("room.1", Broadcast("last", ""))
        await eventually(lambda: len(two.received) == 3)
        assert [(topic, len(notes)) for topic, notes in two.received] == [
            ("room.1", 5),
            ("room.2", 1),
            ("room.1", 1),
        ]


async def test_a_layer_message_is_bounded(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches are split; one note larger than the bound goes alone."""
    monkeypatch.setattr(note_queue, "MESSAGE_BYTES", 1000)
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        texts = ["a" * 400, "b" * 400, "c" * 400, "d" * 3000, "e"]
        for text in texts:
            one.layer.publish("room.1", Broadcast(text, ""))
        await eventually(lambda: len(two.notes("room.1")) == 5)
        assert [note[1] for note in two.notes("room.1")] == texts
        assert [len(notes) for _, notes in two.received] == [2, 1, 1, 1]


async def test_a_receiver_that_raises_keeps_receiving(shared: str) -> None:
    """A message that cannot be handled is logged and dropped."""
    received: list[str] = []

    def receive(topic: str, notes: list[Any]) -> None:
        received.append(notes[0][1])
        if notes[0][1] == "bad":
            raise KeyError("odd")

    layer = Layer("two", receive, Receiver("two").find_site)
    layer.start()
    async with receivers("one") as [one]:
        await layer.subscribe("room.1")
        assert await layer.probe("room.1", 5)
        one.layer.publish("room.1", Broadcast("bad", ""))
        await eventually(lambda: received)
        one.layer.publish("room.1", Broadcast("good", ""))
        await eventually(lambda: len(received) == 2)
    await layer.stop()


async def test_foreign_messages_on_the_group_are_ignored(shared: str) -> None:
    """The layer may be the site's own as well."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        backend = channel_layers.make_backend("default")
        await backend.group_send(group(SITE, "room.1"), {"type": "chat.message", "text": "hi"})
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: two.received)
        assert two.notes("room.1") == [["say", "end", ""]]
        await (backend.flush() if shared == "pubsub" else backend.close_pools())


async def test_stopping_publishes_what_is_queued(shared: str) -> None:
    """The last notes of a process are sent."""
    async with receivers("two") as [two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        async with receivers("one") as [one]:
            for number in range(50):
                one.layer.publish("room.1", Broadcast(str(number), ""))
        await eventually(lambda: len(two.notes("room.1")) == 50)


async def test_a_token_that_is_not_ours_is_no_probe(shared: str) -> None:
    """Another process's probe neither answers ours nor reaches the hub as ours."""
    async with receivers("one", "two") as [one, two]:
        await one.layer.subscribe("room.1")
        assert await one.layer.probe("room.1", 5)
        two.layer.publish("room.1", Probe("guessed"))
        await eventually(lambda: one.received)
        assert one.received[0][0] == "room.1"


# Other sites.


async def test_two_sites_on_one_redis_do_not_hear_each_other(shared: str) -> None:
    """Their topics have the same names, as rooms and users are numbered alike."""
    async with receivers("one", "two", "other", sites={"other": "fedcba9876543210"}) as everyone:
        for receiver in everyone:
            for topic in ("room.1", "everyone", "node.a"):
                await receiver.layer.subscribe(topic)
                assert await receiver.layer.probe(topic, 5)
        one, two, other = everyone
        for topic in ("room.1", "everyone", "node.a"):
            one.layer.publish(topic, Broadcast("ours", ""))
            other.layer.publish(topic, Broadcast("theirs", ""))
        await eventually(lambda: len(two.received) == 3)
        assert await other.layer.probe("everyone", 5)
        assert other.received == []
        assert not any(["say", "theirs", ""] in notes for _, notes in one.received + two.received)


async def test_a_note_of_another_site_in_our_group_is_passed_over(shared: str) -> None:
    """A subscription of an earlier identity may still be in force."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        backend = channel_layers.make_backend("default")
        foreign = envelope("fedcba9876543210", "room.1", "x", [Broadcast("theirs", "")])
        await backend.group_send(group(SITE, "room.1"), foreign)
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: two.received)
        assert two.notes("room.1") == [["say", "end", ""]]
        await (backend.flush() if shared == "pubsub" else backend.close_pools())


async def test_a_process_moves_with_the_identity_of_its_site(
    shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restore under a running process, it receives only notes of its new site."""
    moved = "fedcba9876543210"
    async with receivers("one", "two", "new", sites={"new": moved}) as [one, two, new]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await two.layer.identify()
        assert caplog.text == ""
        two.site = moved
        await two.layer.identify()
        assert "identity" in caplog.text
        assert await two.layer.probe("room.1", 5)
        one.layer.publish("room.1", Broadcast("old", ""))
        assert await one.layer.probe("room.1", 0.1) is False
        new.layer.publish("room.1", Broadcast("new", ""))
        await eventually(lambda: two.received)
        assert two.notes("room.1") == [["say", "new", ""]]


async def test_an_unknown_site_identity_is_read_again(shared: str) -> None:
    """Until the database answers at the start of a process, nothing is sent or received."""
    reads: list[str] = []

    async def find_site() -> str:
        reads.append("")
        if len(reads) < 3:
            raise OperationalError("away")
        return SITE

    async with receivers("two") as [two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        layer = Layer("one", lambda *what: None, find_site)
        layer.start()
        assert await layer.subscribe("room.1") is False
        assert layer.is_resubscription_due
        layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "hi", ""]])
        await layer.resubscribe()
        assert await layer.probe("room.1", 5)
        await layer.stop()


@pytest.mark.parametrize("topic", [user_topic("x" * 150), "room.9223372036854775807", EVERYONE])
def test_a_group_has_a_name_that_every_layer_accepts(topic: str) -> None:
    """Less than 100 characters of ASCII."""
    assert BaseChannelLayer().require_valid_group_name(group(SITE, topic))


# Away and back.


@pytest.fixture(params=["pubsub", "core"])
def own(request: pytest.FixtureRequest, use_layer: UseLayer, own_redis: Redis) -> Redis:
    use_layer(request.param, own_redis.url)
    return own_redis


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BREAKER_SECONDS", 0.05)


async def in_thread(function: Callable[[], Any]) -> None:
    await asyncio.to_thread(function)


async def test_a_layer_that_comes_back_empty_works_again(own: Redis) -> None:
    """Nothing raises; what was published meanwhile waits, and comes in order."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.stop)
        for number in range(5):
            one.layer.publish("room.1", Broadcast(str(number), ""))
        await eventually(lambda: one.layer.is_away)
        assert await two.layer.subscribe("room.2") is False
        assert two.layer.is_resubscription_due
        assert await two.layer.probe("room.1", 0.05) is False
        await in_thread(own.start)
        await eventually(lambda: not one.layer.is_away)
        await eventually_received(two, "room.1")
        await two.layer.resubscribe()
        await eventually_probed(two, "room.2")
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: ["say", "end", ""] in two.notes("room.1"))
        said = [note[1] for note in two.notes("room.1")]
        assert said == sorted(said)


async def eventually_received(receiver: Receiver, topic: str) -> None:
    """Do as the pulse does: subscribe again if a probe does not come back."""
    async with asyncio.timeout(15):
        while not await receiver.layer.probe(topic, 0.3):
            await receiver.layer.reopen()


async def test_a_layer_that_has_lost_the_subscriptions_works_again(own: Redis) -> None:
    """FLUSHALL keeps sockets open, but on the core layer it removes all subscriptions."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.flush)
        await eventually_received(two, "room.1")
        one.layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "hi", ""]])


async def test_a_subscription_that_was_lost_alone_is_made_again(shared: str) -> None:
    """No other subscription shows it."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        await two.layer.check("room.1", 5)
        await two.layer._change("group_discard", "room.1")
        async with asyncio.timeout(15):
            while not await two.layer.probe("room.1", 0.3):
                await two.layer.check("room.1", 0.3)
        one.layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "hi", ""]])


async def test_a_topic_that_was_left_is_not_subscribed_again(shared: str) -> None:
    async with receivers("one") as [one]:
        await one.layer.subscribe("room.1")
        await one.layer.unsubscribe("room.1")
        await one.layer.check("room.1", 0.1)
        assert not await one.layer.probe("room.1", 0.1)


async def test_a_long_outage_keeps_a_bounded_number_of_notes(
    own: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are dropped: the database has them."""
    monkeypatch.setattr(note_queue, "QUEUE_NOTES", 10)
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.stop)
        for number in range(100):
            one.layer.publish("room.1", Broadcast(str(number), ""))
        assert [entry.note.text for entry in one.layer._queue._notes] == [
            str(number) for number in range(90, 100)
        ]
        await in_thread(own.start)
        await eventually(lambda: not one.layer._queue)


async def test_stale_notes_are_dropped_after_an_outage(
    own: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old `typing` is useless; events of the log are sent whenever the layer is back."""
    monkeypatch.setattr(note_queue, "STALE_SECONDS", 0)
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.stop)
        one.layer.publish("room.1", Broadcast("typing", ""))
        one.layer.publish("room.1", LogEvent(1, None, "", "message"))
        await eventually(lambda: one.layer.is_away and len(one.layer._queue) == 1)
        await in_thread(own.start)
        await eventually(lambda: not one.layer._queue)


async def test_a_note_that_cannot_be_sent_does_not_stop_the_next(shared: str) -> None:
    """A note that no serializer accepts is logged and dropped."""
    async with receivers("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        one.layer.publish("room.1", Broadcast(object(), ""))  # type: ignore[arg-type]
        one.layer.publish("room.2", Broadcast("other", ""))
        one.layer.publish("room.1", Broadcast("good", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "good", ""]])
        assert not one.layer.is_away


async def test_stopping_while_the_layer_is_away_is_quick(own: Redis) -> None:
    """A shutdown does not wait for Redis."""
    async with receivers("one") as [one]:
        await one.layer.subscribe("room.1")
        await in_thread(own.stop)
        one.layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: one.layer.is_away)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3
