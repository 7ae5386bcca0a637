"""Publishing from processes that serve no sockets, and end or fork as workers do."""

import asyncio
import os
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from harness.services import free_port
from harness.settings import layers
from harness.site import Sites, environment, run
from harness.waiting import eventually
from realtime import push, testing
from realtime.engine.bus.notes import Broadcast
from realtime.engine.bus.publisher import Publisher, publisher
from realtime.engine.engine import Engine
from realtime.models import Message, Room
from tests.store.conftest import emptied
from tests.test_push import Listener, stop_publisher


@pytest.fixture(params=["sqlite", "postgres"])
def room(
    request: pytest.FixtureRequest, sites: Sites, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[Room, str]]:
    url = sites.database_url(request.param)
    with emptied(url, django_db_blocker):
        yield Room.objects.create(slug="general"), url


@pytest.fixture(params=["pubsub", "core"])
async def elsewhere(
    request: pytest.FixtureRequest, redis_url: str, settings: Settings, room: Any
) -> AsyncIterator[tuple[Listener, dict[str, str]]]:
    """A process that listens, and the environment of those that publish."""
    prefix = uuid.uuid4().hex
    settings.CHANNEL_LAYERS = {"default": layers(request.param, redis_url, prefix)}
    listener = Listener()
    listener.layer.start()
    for topic in ("everyone", f"room.{room[0].pk}"):
        await listener.layer.subscribe(topic)
        assert await listener.layer.probe(topic, 5)
    more = {"REALTIME_TEST_LAYER": request.param, "REALTIME_TEST_PREFIX": prefix}
    yield listener, environment(room[1], redis_url, **more)
    await listener.layer.stop()


async def test_a_burst_arrives_though_its_process_ends_at_once(elsewhere: Any) -> None:
    """In its order."""
    listener, env = elsewhere
    await asyncio.to_thread(run, "-m", "tests.workers", "burst", env=env)
    await eventually(lambda: len(listener.notes("everyone")) == 300)
    said = [note[1] for note in listener.notes("everyone")]
    assert said == [f'{{"type":"signal","data":{{"n":{number}}}}}' for number in range(300)]


async def test_forked_children_ask_as_their_parent_does(elsewhere: Any) -> None:
    """A client of a process that serves sockets answers each of them."""
    _, env = elsewhere
    async with testing.engine(GUESTS=True, DB_THREADS=2), testing.connect() as client:
        client.answer("confirm", lambda question: {"text": question["text"].upper()})
        arguments = ("-W", "error", "-m", "tests.workers", "ask", client.connection)
        out = await asyncio.to_thread(run, *arguments, env=env)
    assert out.split("\n") == ["PARENT", "CHILD", "PARENT AGAIN", ""]


async def test_forked_children_publish_as_their_parent_does(elsewhere: Any, room: Any) -> None:
    """Also one of `multiprocessing`, which ends right after its last note."""
    listener, env = elsewhere
    quiet = ["-W", "ignore::DeprecationWarning"]  # of forks in processes with threads
    await asyncio.to_thread(run, *quiet, "-m", "tests.workers", "forked", env=env)
    await eventually(lambda: len(listener.notes("everyone")) == 103)
    said = "".join(note[1] for note in listener.notes("everyone"))
    names = ["parent", "child", *(f"worker {number}" for number in range(100)), "parent again"]
    assert all(f'"from":"{name}"' in said for name in names)
    contents = Message.objects.order_by("seq").values_list("content", flat=True)
    assert await sync_to_async(list)(contents) == ["parent", "child", "parent again"]
    await eventually(lambda: len(listener.notes(f"room.{room[0].pk}")) == 3)


@pytest.fixture
def broken(settings: Settings, room: Any) -> Iterator[Publisher]:
    url = f"redis://127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {"default": layers("pubsub", url, "push")}
    publisher.reset()
    yield publisher
    stop_publisher("flush")


def test_a_burst_without_redis_fails_soon_and_says_so(broken: Publisher) -> None:
    """Not after two seconds for each note."""
    began = time.monotonic()
    found = [push.everyone().send({"n": number}) for number in range(1000)]
    assert not any(found)
    assert time.monotonic() - began < 10
    broken.flush()


def test_no_note_of_a_burst_is_left_without_an_answer(broken: Publisher) -> None:
    """Also of those that were queued when the layer failed."""
    burst = broken._burst
    burst._called_at, burst._in_a_row = float("inf"), 100  # all of this is one burst
    results = [broken.submit([("everyone", Broadcast("{}", ""))]) for _ in range(5)]
    broken.flush()
    assert all("The channel layer" in result.result(5) for result in results)


async def test_a_child_of_a_server_process_has_no_engine(room: Any) -> None:
    """The loop of its parent does not run in it, so its notes would be lost without a word."""
    async with testing.engine():
        assert Engine.running() is not None
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads
            child = os.fork()
        if child == 0:
            os.write(write, b"none" if Engine.running() is None else b"some")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 4) == b"none"
        assert Engine.running() is not None
