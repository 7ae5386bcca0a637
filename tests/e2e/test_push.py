"""Pushing from a view, a thread, async code and another process, in and out of transactions."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from harness.client.websocket import Client
from harness.site import Factory, Site

PAGES = "tests.e2e.pages"
SCRIPT = """
import asyncio, django
django.setup()
from threading import Thread
from django.db import transaction
from realtime import push
from tests.e2e.pages import in_thread, tell

with transaction.atomic():
    tell("in the transaction")
    in_thread("before its commit")
try:
    with transaction.atomic():
        tell("never")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass

async def main():
    await push.room("general").amessage("from async code", username="script")
    await push.room("general").asend({"text": "from async code"})

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(servers=("daphne", "daphne"), urls=PAGES)


@pytest.fixture
async def watchers(site: Site) -> AsyncIterator[list[Client]]:
    """One client in the room on either server."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await Client.connect(url)) for url in site.urls]
        for client in clients:
            await client.join("general", history=0)
        yield clients


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("committed", ["before its commit", "in the transaction"]),
        ("rolled-back", ["after the rollback"]),
        ("inner-rolled-back", ["outer"]),
        ("asynchronous", ["from async code"]),
    ],
)
async def test_a_view_pushes_on_commit_and_nothing_on_rollback(
    site: Site, watchers: list[Client], page: str, told: list[str]
) -> None:
    """To the clients of its own process and of the other one."""
    await _get(f"{site.servers[0].url}/{page}")
    for client in watchers:
        await _assert_told(client, told)


async def test_another_process_pushes_as_a_view_does(site: Site, watchers: list[Client]) -> None:
    """A script without a server: a transaction, a plain thread, a rollback and async code."""
    await asyncio.to_thread(site.run, "-c", SCRIPT)
    for client in watchers:
        await _assert_told(client, ["before its commit", "in the transaction", "from async code"])


async def test_stored_messages_of_another_process_arrive_without_a_layer(
    make_site: Factory,
) -> None:
    """With the in-memory layer nothing connects the two but the database."""
    site = make_site(database="sqlite", layer="memory", servers=("daphne",))
    code = "push.room('general').message('from outside', username='script')"
    async with await Client.connect(site.urls[0]) as client:
        await client.join("general")
        await asyncio.to_thread(site.run, "-c", _script(code))
        assert (await client.expect("message"))["content"] == "from outside"


async def test_a_user_a_connection_and_everyone_are_reached_wherever_they_are(site: Site) -> None:
    """From another process, to the clients of two servers."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await Client.connect(url)) for url in site.urls]
        first, second = clients
        ends = [await client.expect("welcome") for client in clients]
        code = f"""
push.user({ends[0]["user_id"]!r}).send({{"to": "a user"}})
push.connection({ends[1]["connection"]!r}).send({{"to": "a connection"}})
push.everyone().notice("to everyone", level="warning")
push.connection({ends[1]["connection"]!r}).disconnect("enough")
"""
        await asyncio.to_thread(site.run, "-c", _script(code))
        assert (await first.expect("signal"))["data"] == {"to": "a user"}
        assert (await second.expect("signal"))["data"] == {"to": "a connection"}
        for client in clients:
            notice = await client.expect("notice")
            assert (notice["text"], notice["level"]) == ("to everyone", "warning")
        assert await second.closed() == 4503
        assert (second.seen[-1]["type"], second.seen[-1]["reason"]) == ("disconnect", "enough")
        await first.send("ping")
        await first.expect("pong")
        assert len([item for item in first.seen if item["type"] == "signal"]) == 1


def _script(code: str) -> str:
    return f"import django; django.setup()\nfrom realtime import push\n{code}"


async def _get(url: str) -> None:
    def get() -> None:
        with urllib.request.urlopen(url, timeout=30) as response:
            assert response.status == 200

    await asyncio.to_thread(get)


async def _assert_told(client: Client, told: list[str]) -> None:
    """Exactly these messages, in this order, and a signal with the text of each."""
    messages: list[str] = []
    signals: list[str] = []
    while min(len(messages), len(signals)) < len(told):
        match await client.receive():
            case {"type": "message", "content": content}:
                messages.append(content)
            case {"type": "signal", "data": {"text": text}}:
                signals.append(text)
    assert messages == told
    assert signals == told


@pytest.mark.parametrize("page", ["asks", "asks-and-waits"])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_view_asks_a_client_of_any_process(
    site: Site, watchers: list[Client], page: str, place: int
) -> None:
    client = watchers[place]
    asking = asyncio.create_task(
        _read(f"{site.servers[0].url}/{page}/{client.seen[0]['connection']}")
    )
    question = await client.expect("ask")
    await client.send("answer", ref=question["ref"], data=question["data"])
    assert json.loads(await asking) == {"text": "sync" if "waits" in page else "async"}


async def test_a_view_hears_that_the_client_of_another_process_is_gone(site: Site) -> None:
    """At once, though it would wait for 600 seconds."""
    async with await Client.connect(site.urls[1]) as client:
        name = (await client.expect("welcome"))["connection"]
        url = f"{site.servers[0].url}/asks/{name}?timeout=600"
        asking = asyncio.create_task(_read(url))
        await client.expect("ask")
    assert json.loads(await asking) == {"code": "gone", "outcome": "unknown"}
    assert json.loads(await _read(url)) == {"code": "gone", "outcome": "not_sent"}


async def test_a_killed_process_is_a_timeout(make_site: Factory) -> None:
    site = make_site(servers=("daphne", "daphne"), urls=PAGES)
    async with await Client.connect(site.urls[1]) as client:
        name = (await client.expect("welcome"))["connection"]
        url = f"{site.servers[0].url}/asks/{name}?timeout=1"
        asking = asyncio.create_task(_read(url))
        await client.expect("ask")
        site.servers[1].kill()
        assert json.loads(await asking) == {"code": "timeout", "outcome": "unknown"}


async def _read(url: str) -> bytes:
    def read() -> bytes:
        with urllib.request.urlopen(url) as response:
            found: bytes = response.read()
            return found

    return await asyncio.to_thread(read)
