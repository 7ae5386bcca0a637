"""One contract for every channel layer, and what happens when it goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.layers import BaseChannelLayer, channel_layers
from django.db import OperationalError

from harness.services import Redis
from realtime.engine.bus import layer as module
from realtime.engine.bus import note_queue
from realtime.engine.bus.layer import Layer, envelope, group
from realtime.engine.bus.notes import Broadcast, LogEvent, Probe
from realtime.engine.engine import EVERYONE, user_topic
from tests.client import eventually
from tests.engine.conftest import UseLayer

Heard = list[tuple[str, list[Any]]]
SITE = "0123456789abcdef"
NO_SITES: Mapping[str, str] = {}


class Ear:
    """A process's end of the layer, and what it heard."""

    def __init__(self, origin: str, site: str = SITE) -> None:
        self.heard: Heard = []
        self.site = site
        self.layer = Layer(origin, lambda *what: self.heard.append(what), self.find_site)

    async def find_site(self) -> str:
        return self.site

    def notes(self, topic: str) -> list[Any]:
        """Return the notes of a topic as they were on the wire."""
        return [note for name, notes in self.heard if name == topic for note in notes]


@asynccontextmanager
async def ears(*origins: str, sites: Mapping[str, str] = NO_SITES) -> AsyncIterator[list[Ear]]:
    made = [Ear(origin, sites.get(origin, SITE)) for origin in origins]
    for ear in made:
        ear.layer.start()
    try:
        yield made
    finally:
        for ear in made:
            await ear.layer.stop()


@pytest.fixture(params=["pubsub", "core"])
def shared(request: pytest.FixtureRequest, use_layer: UseLayer, redis_url: str) -> str:
    """A layer that processes share."""
    use_layer(request.param, redis_url)
    return str(request.param)


# Every layer.


async def test_subscribe_then_probe_proves_that_it_is_heard(any_layer: str) -> None:
    """What comes back through the group says that the subscription is in force."""
    async with ears("one") as [one]:
        assert await one.layer.subscribe("room.1")
        assert await one.layer.probe("room.1", 5)
        assert one.layer.is_shared is (any_layer != "memory")
        assert not one.layer.is_away


async def test_what_one_publishes_it_does_not_hear_itself(any_layer: str) -> None:
    """The members of its own process have it already."""
    async with ears("one") as [one]:
        await one.layer.subscribe("room.1")
        one.layer.publish("room.1", Broadcast("hi", ""))
        assert await one.layer.probe("room.1", 5)
        assert one.heard == []


async def test_renewing_and_reopening_change_nothing_that_works(any_layer: str) -> None:
    """A doubted subscription is made again, and still heard."""
    async with ears("one") as [one]:
        await one.layer.subscribe("room.1")
        await one.layer.resubscribe()
        assert await one.layer.probe("room.1", 5)
        if one.layer.is_shared:
            await one.layer.reopen()
            await eventually_probed(one, "room.1")


async def test_stopping_what_was_never_started_is_harmless(any_layer: str) -> None:
    """An engine may fail before it begins."""
    ear = Ear("one")
    ear.layer.publish("room.1", Broadcast("hi", ""))
    if not ear.layer.is_shared:
        await ear.layer.stop()
        assert ear.heard == []


async def eventually_probed(ear: Ear, topic: str, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await ear.layer.probe(topic, 0.2):
            pass


# Layers that processes share.


async def test_another_process_hears_in_order_and_as_it_was_said(shared: str) -> None:
    """Strings, numbers and None arrive as they were, with the name of who said them."""
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        notes = [LogEvent(number, None, "é", "😀") for number in range(200)]
        for note in notes:
            one.layer.publish("room.1", note)
        await eventually(lambda: len(two.notes("room.1")) == 200)
        assert two.notes("room.1") == [["log", number, None, "é", "😀"] for number in range(200)]


async def test_a_topic_is_heard_by_its_subscribers_only(shared: str) -> None:
    """Redis work grows with those who listen."""
    async with ears("one", "two", "three") as [one, two, three]:
        await two.layer.subscribe("room.1")
        await three.layer.subscribe("room.2")
        for ear, topic in ((two, "room.1"), (three, "room.2")):
            assert await ear.layer.probe(topic, 5)
        one.layer.publish("room.1", Broadcast("one", ""))
        one.layer.publish("room.2", Broadcast("two", ""))
        await eventually(lambda: two.heard and three.heard)
        assert two.notes("room.1") == [["say", "one", ""]]
        assert three.notes("room.2") == [["say", "two", ""]]
        assert not two.notes("room.2")


async def test_a_topic_that_was_left_is_heard_no_more(shared: str) -> None:
    """And can be entered again."""
    async with ears("one", "two") as [one, two]:
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
    async with ears("one", "two") as [one, two]:
        for topic in ("room.1", "room.2"):
            await two.layer.subscribe(topic)
            assert await two.layer.probe(topic, 5)
        for number in range(5):
            one.layer.publish("room.1", Broadcast(str(number), ""))
        one.layer.publish("room.2", Broadcast("between", ""))
        one.layer.publish("room.1", Broadcast("last", ""))
        await eventually(lambda: len(two.heard) == 3)
        assert [(topic, len(notes)) for topic, notes in two.heard] == [
            ("room.1", 5),
            ("room.2", 1),
            ("room.1", 1),
        ]


async def test_a_layer_message_is_bounded(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches are split; one note larger than the bound goes alone."""
    monkeypatch.setattr(note_queue, "MESSAGE_BYTES", 1000)
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        texts = ["a" * 400, "b" * 400, "c" * 400, "d" * 3000, "e"]
        for text in texts:
            one.layer.publish("room.1", Broadcast(text, ""))
        await eventually(lambda: len(two.notes("room.1")) == 5)
        assert [note[1] for note in two.notes("room.1")] == texts
        assert [len(notes) for _, notes in two.heard] == [2, 1, 1, 1]


async def test_a_receiver_that_raises_goes_on_hearing(shared: str) -> None:
    """A message that cannot be taken is logged and passed over."""
    heard: list[str] = []

    def hear(topic: str, notes: list[Any]) -> None:
        heard.append(notes[0][1])
        if notes[0][1] == "bad":
            raise KeyError("odd")

    layer = Layer("two", hear, Ear("two").find_site)
    layer.start()
    async with ears("one") as [one]:
        await layer.subscribe("room.1")
        assert await layer.probe("room.1", 5)
        one.layer.publish("room.1", Broadcast("bad", ""))
        await eventually(lambda: heard)
        one.layer.publish("room.1", Broadcast("good", ""))
        await eventually(lambda: len(heard) == 2)
    await layer.stop()


async def test_messages_of_others_on_the_group_are_passed_over(shared: str) -> None:
    """The layer may be the site's own as well."""
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        backend = channel_layers.make_backend("default")
        await backend.group_send(group(SITE, "room.1"), {"type": "chat.message", "text": "hi"})
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: two.heard)
        assert two.notes("room.1") == [["say", "end", ""]]
        await (backend.flush() if shared == "pubsub" else backend.close_pools())


async def test_stopping_publishes_what_is_queued(shared: str) -> None:
    """The last words of a process are heard."""
    async with ears("two") as [two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        async with ears("one") as [one]:
            for number in range(50):
                one.layer.publish("room.1", Broadcast(str(number), ""))
        await eventually(lambda: len(two.notes("room.1")) == 50)


async def test_a_token_that_is_not_ours_is_no_probe(shared: str) -> None:
    """Another process's probe neither answers ours nor reaches the hub as ours."""
    async with ears("one", "two") as [one, two]:
        await one.layer.subscribe("room.1")
        assert await one.layer.probe("room.1", 5)
        two.layer.publish("room.1", Probe("guessed"))
        await eventually(lambda: one.heard)
        assert one.heard[0][0] == "room.1"


# Other sites.


async def test_two_sites_on_one_redis_do_not_hear_each_other(shared: str) -> None:
    """Their topics have the same names, as rooms and users are numbered alike."""
    async with ears("one", "two", "other", sites={"other": "fedcba9876543210"}) as all_ears:
        for ear in all_ears:
            for topic in ("room.1", "everyone", "node.a"):
                await ear.layer.subscribe(topic)
                assert await ear.layer.probe(topic, 5)
        one, two, other = all_ears
        for topic in ("room.1", "everyone", "node.a"):
            one.layer.publish(topic, Broadcast("ours", ""))
            other.layer.publish(topic, Broadcast("theirs", ""))
        await eventually(lambda: len(two.heard) == 3)
        assert await other.layer.probe("everyone", 5)
        assert other.heard == []
        assert not any(["say", "theirs", ""] in notes for _, notes in one.heard + two.heard)


async def test_a_note_of_another_site_in_our_group_is_passed_over(shared: str) -> None:
    """A subscription of an earlier identity may still be in force."""
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        backend = channel_layers.make_backend("default")
        foreign = envelope("fedcba9876543210", "room.1", "x", [Broadcast("theirs", "")])
        await backend.group_send(group(SITE, "room.1"), foreign)
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: two.heard)
        assert two.notes("room.1") == [["say", "end", ""]]
        await (backend.flush() if shared == "pubsub" else backend.close_pools())


async def test_a_process_moves_with_the_identity_of_its_site(
    shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The database was restored under a running process: it hears its new site only."""
    moved = "fedcba9876543210"
    async with ears("one", "two", "new", sites={"new": moved}) as [one, two, new]:
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
        await eventually(lambda: two.heard)
        assert two.notes("room.1") == [["say", "new", ""]]


async def test_a_site_that_is_not_known_yet_is_asked_again(shared: str) -> None:
    """The database may be away when a process starts: until then nothing is said or heard."""
    asked: list[str] = []

    async def find_site() -> str:
        asked.append("")
        if len(asked) < 3:
            raise OperationalError("away")
        return SITE

    async with ears("two") as [two]:
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
def test_a_group_has_a_name_that_every_layer_takes(topic: str) -> None:
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


async def test_a_layer_that_comes_back_empty_is_heard_again(own: Redis) -> None:
    """Nothing raises; what was published meanwhile waits, and comes in order."""
    async with ears("one", "two") as [one, two]:
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
        await eventually_heard(two, "room.1")
        await two.layer.resubscribe()
        await eventually_probed(two, "room.2")
        one.layer.publish("room.1", Broadcast("end", ""))
        await eventually(lambda: ["say", "end", ""] in two.notes("room.1"))
        said = [note[1] for note in two.notes("room.1")]
        assert said == sorted(said)


async def eventually_heard(ear: Ear, topic: str) -> None:
    """Do as the pulse does: what is not heard is subscribed anew."""
    async with asyncio.timeout(15):
        while not await ear.layer.probe(topic, 0.3):
            await ear.layer.reopen()


async def test_a_layer_that_has_forgotten_us_is_heard_again(own: Redis) -> None:
    """FLUSHALL leaves sockets open and, on the core layer, everybody deaf."""
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.flush)
        await eventually_heard(two, "room.1")
        one.layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "hi", ""]])


async def test_a_long_outage_keeps_a_bounded_number_of_notes(
    own: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are dropped: the database has them."""
    monkeypatch.setattr(note_queue, "QUEUE_NOTES", 10)
    async with ears("one", "two") as [one, two]:
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


async def test_what_is_stale_is_not_said_after_an_outage(
    own: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody types a minute later; the log is told whenever that was."""
    monkeypatch.setattr(note_queue, "STALE_SECONDS", 0)
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        await in_thread(own.stop)
        one.layer.publish("room.1", Broadcast("typing", ""))
        one.layer.publish("room.1", LogEvent(1, None, "", "message"))
        await eventually(lambda: one.layer.is_away and len(one.layer._queue) == 1)
        await in_thread(own.start)
        await eventually(lambda: not one.layer._queue)


async def test_a_note_that_cannot_be_sent_does_not_stop_the_next(shared: str) -> None:
    """What no serializer takes is logged and dropped."""
    async with ears("one", "two") as [one, two]:
        await two.layer.subscribe("room.1")
        assert await two.layer.probe("room.1", 5)
        one.layer.publish("room.1", Broadcast(object(), ""))  # type: ignore[arg-type]
        one.layer.publish("room.2", Broadcast("other", ""))
        one.layer.publish("room.1", Broadcast("good", ""))
        await eventually(lambda: two.notes("room.1") == [["say", "good", ""]])
        assert not one.layer.is_away


async def test_stopping_while_the_layer_is_away_is_quick(own: Redis) -> None:
    """A shutdown does not wait for Redis."""
    async with ears("one") as [one]:
        await one.layer.subscribe("room.1")
        await in_thread(own.stop)
        one.layer.publish("room.1", Broadcast("hi", ""))
        await eventually(lambda: one.layer.is_away)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3
