"""Sending from each place of a site's code, to clients of a server process."""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.client.encoding import Object
from harness.client.topic_chatter import TOPIC
from harness.client.websocket import Client
from harness.services import Process, answers, free_port
from harness.site import ROOT, UNLIMITED, Factory, Site, run

SENDERS = "tests.e2e.senders"
WITHOUT_SERVER = [
    "a thread",
    "a management command",
    "a signal",
    "an admin action",
    "a task of Django",
    "async code",
]


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(urls=SENDERS, in_topics=True)


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    """A client in the room and subscribed to the topic."""
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general", history=0)
        await client.subscribe(f"{TOPIC}general")
        yield client


def _told(client: Client, place: str) -> list[str]:
    """What has come of a place."""
    return sorted(kind for kind in map(_kind(place), client.seen) if kind)


def _kind(place: str):  # type: ignore[no-untyped-def]
    def kind(item: Object) -> str:
        match item:
            case {"type": "message", "content": content} if content == place:
                return "message"
            case {"type": "signal", "data": {"from": sender}} if sender == place:
                return "signal"
            case {"type": "event", "key": key} if key == place:
                return "value"
            case {"type": "event", "data": {"content": content}} if content == place:
                return "event"
        return ""

    return kind


async def _assert_told(client: Client, places: list[str]) -> None:
    """All arrives once, at once and not by the next pulse."""
    async with asyncio.timeout(10):
        while any(len(_told(client, place)) < 4 for place in places):
            await client.receive()
    await client.settled()
    for place in places:
        assert _told(client, place) == ["event", "message", "signal", "value"], place


async def _get(url: str) -> None:
    def get() -> None:
        with urllib.request.urlopen(url.replace(" ", "%20"), timeout=20) as answer:
            assert answer.status == 200

    await asyncio.to_thread(get)


@contextmanager
def process(*command: str, site: Site, ready: int = 0, **env: str) -> Iterator[Process]:
    """A process of the site that runs beside its server."""
    log = site.folder / f"{command[1]}-{free_port()}.log"
    own = Process([sys.executable, *command], log, cwd=ROOT, env={**site.env, **env})
    own.spawn()
    try:
        if ready:
            own.wait_ready(lambda: answers(ready))
        yield own
    finally:
        own.terminate()
        own.show_log()


async def test_a_process_without_sockets_sends_from_everywhere(site: Site, client: Client) -> None:
    """From a thread, a command, a signal receiver, the admin, a task and async code."""
    await asyncio.to_thread(site.run, "-c", f"from {SENDERS} import main; main()")
    await _assert_told(client, WITHOUT_SERVER)


@pytest.mark.parametrize("page", ["send", "asend", "task"])
async def test_views_of_the_server_process_send(site: Site, client: Client, page: str) -> None:
    await _get(f"{site.servers[0].url}/{page}/{page} under ASGI")
    await _assert_told(client, [f"{page} under ASGI"])


async def test_views_of_a_wsgi_server_send(site: Site, client: Client) -> None:
    """Its worker is a fork of a process that has sent already."""
    port = free_port()
    command = ["-m", "gunicorn", "--preload", "-b", f"127.0.0.1:{port}", f"{SENDERS}:wsgi()"]
    pages = ["send", "asend", "task"]
    with process(*command, site=site, ready=port):
        for page in pages:
            await _get(f"http://127.0.0.1:{port}/{page}/{page} under WSGI")
        places = [f"{page} under WSGI" for page in pages]
        await _assert_told(client, ["a WSGI server before its fork", *places])


async def test_tasks_of_celery_send(site: Site, client: Client, tmp_path: Path) -> None:
    """In a prefork worker: the parent has sent, and its connections are open when it forks."""
    env = {"CELERY_FOLDER": str(tmp_path)}
    options = ["--pool", "prefork", "--concurrency", "2", "--without-mingle", "--without-gossip"]
    with process("-m", "celery", "-A", SENDERS, "worker", *options, site=site, **env):
        places = [f"task {number} of Celery" for number in range(4)]
        script = f"from {SENDERS} import job; [job.delay(one) for one in {places}]"
        await asyncio.to_thread(_run, site, script, env)
        await _assert_told(client, ["the parent of a Celery worker", *places])


def _run(site: Site, script: str, env: dict[str, str]) -> None:
    run("-c", script, env={**site.env, **env})


async def test_what_cannot_reach_any_client_is_a_clear_error(make_site: Factory) -> None:
    """With the in-memory layer there is no way from one process to another; the database is one."""
    site = make_site(layer="memory", in_topics=True, settings={**UNLIMITED, "PULSE_SECONDS": 1})
    script = f"""
from {SENDERS} import Glance, GlanceTopic, push, send
for handover in (push.everyone().send({{}}), GlanceTopic().publish(Glance(number=1))):
    assert not handover
    print(handover.reason)
    try:
        handover.require()
    except push.LayerUnavailable as error:
        assert str(error) == handover.reason
send("another process")
"""
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general", history=0)
        await client.subscribe(f"{TOPIC}general")
        reasons = (await asyncio.to_thread(site.run, "-c", script)).splitlines()
        assert len(set(reasons)) == 1
        assert "CHANNEL_LAYERS" in reasons[0]
        stored = ["event", "message", "value"]
        async with asyncio.timeout(10):
            while _told(client, "another process") != stored:
                await client.receive()
