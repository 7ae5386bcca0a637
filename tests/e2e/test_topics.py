"""Topics over two server processes, Redis and PostgreSQL: events, resumes, calls and rights."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from harness.client.encoding import Object
from harness.client.websocket import Client
from harness.site import Factory, Site

APPLICATION = "tests.e2e.orders_asgi:application"
START = """
import time, django
django.setup()
from threading import Thread
from django.db import connection, transaction
from realtime.models import Room
from tests.e2e.orders import OrderTopic, Paid
"""
PUBLISH = """
order = OrderTopic(pk={pk})
with transaction.atomic():
    order.publish(Paid(total=1))
try:
    with transaction.atomic():
        order.publish(Paid(total=-1))
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
def in_thread():
    order.publish(Paid(total=2))
    connection.close()
thread = Thread(target=in_thread)
thread.start()
thread.join()
order.publish(Paid(total=3))
"""
REVOKE = """
with transaction.atomic():
    Room.objects.filter(pk={pk}).update(kind="private")
    OrderTopic(pk={pk}).refresh_rights()
committed = time.time()
time.sleep({seconds})
for total in range(100, 110):
    OrderTopic(pk={pk}).publish(Paid(total=total))
print(committed)
"""
ROOM = "print(Room.objects.create(slug={slug!r}, kind='public').pk)"


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    made = make_shared_site(servers=(), urls="tests.e2e.orders")
    made.start("daphne", "daphne", application=APPLICATION)
    return made


async def script(site: Site, code: str, **values: Any) -> str:
    return await asyncio.to_thread(site.run, "-c", START + code.format(**values))


async def order_of(site: Site, slug: str) -> int:
    """Make an order that everyone may see; return its key."""
    return int(await script(site, ROOM, slug=slug))


@pytest.fixture
async def watchers(site: Site) -> AsyncIterator[list[Client]]:
    """One client on either server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await Client.connect(url)) for url in site.urls]


async def subscribed(client: Client, topic: str, **fields: Any) -> Object:
    told = await client.ask("subscribe", topic=topic, **fields)
    assert told["type"] == "subscribed", told
    return told


async def events(client: Client, number: int) -> list[tuple[int, int]]:
    """Return the position and the total of the next events."""
    found = [await client.expect("event") for _ in range(number)]
    return [(one["seq"], one["data"]["total"]) for one in found]


async def test_what_any_process_and_thread_publishes_reaches_all_subscribers(
    site: Site, watchers: list[Client]
) -> None:
    """Another process, with and without a transaction, a plain thread, a view and a call."""
    pk = await order_of(site, "published")
    for client in watchers:
        await subscribed(client, f"order/{pk}")
    await script(site, PUBLISH, pk=pk)
    url = f"{site.servers[0].url}/publish/{pk}/4"
    await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).close())
    fields = {"topic": f"order/{pk}", "name": "cancel", "data": {"reason": "late!"}}
    assert (await watchers[1].ask("call", **fields))["data"] == {"total": 0}
    expected = [(1, 1), (2, 2), (3, 3), (4, 4), (5, -5)]
    for client in watchers:
        seen = [one for one in client.seen if one["type"] == "event"]
        before = [(one["seq"], one["data"]["total"]) for one in seen]
        client._unread.clear()
        assert before + await events(client, 5 - len(before)) == expected


async def test_a_client_that_was_cut_off_resumes_at_the_other_server(
    site: Site, watchers: list[Client]
) -> None:
    """Each event once, in order, also if it is published while the client comes back."""
    pk = await order_of(site, "resumed")
    first, second = watchers
    await subscribed(first, f"order/{pk}")
    await script(site, PUBLISH, pk=pk)
    assert await events(first, 2) == [(1, 1), (2, 2)]
    epoch = next(one["epoch"] for one in first.seen if one["type"] == "event")
    first.socket.transport.abort()
    publishing = asyncio.create_task(script(site, PUBLISH, pk=pk))
    told = await subscribed(second, f"order/{pk}", since={"seq": 2, "epoch": epoch})
    assert told["recovered"]
    got = [(one["seq"], one["data"]["total"]) for one in told["entries"]]
    got += await events(second, 4 - len(got))
    assert got == [(3, 3), (4, 1), (5, 2), (6, 3)]
    await publishing


async def test_a_client_whose_right_has_ended_gets_nothing_one_second_later(
    site: Site, watchers: list[Client]
) -> None:
    """It is told so, and those of other orders stay."""
    pk, other = await order_of(site, "revoked"), await order_of(site, "kept")
    for client in watchers:
        await subscribed(client, f"order/{pk}")
        await subscribed(client, f"order/{other}")
    await script(site, REVOKE, pk=pk, seconds=1)
    await script(site, PUBLISH, pk=other)
    for client in watchers:
        removed = await client.expect("removed", topic=f"order/{pk}")
        assert removed["code"] == "unknown_topic"
        assert await events(client, 3) == [(1, 1), (2, 2), (3, 3)]
        mine = [one for one in client.seen if one["type"] == "event"]
        assert {one["topic"] for one in mine} == {f"order/{other}"}
        assert (await client.ask("subscribe", topic=f"order/{pk}"))["code"] == "unknown_topic"


@pytest.mark.alone
async def test_without_the_doorbell_a_right_ends_within_six_seconds(make_site: Factory) -> None:
    """And what is published later never comes."""
    site = make_site(servers=(), own_redis=True, urls="tests.e2e.orders")
    site.start("daphne", "daphne", application=APPLICATION)
    pk = await order_of(site, "silent")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await Client.connect(url)) for url in site.urls]
        for client in clients:
            await subscribed(client, f"order/{pk}")
        assert site.redis is not None
        await asyncio.to_thread(site.redis.stop)
        revoking = asyncio.create_task(script(site, REVOKE, pk=pk, seconds=6))
        for client in clients:
            await client.expect("removed", topic=f"order/{pk}", timeout=30)
        removed = time.time()
        committed = float((await revoking).split()[-1])
        assert removed - committed < 6
        for client in clients:
            await client.ask("ping")
            assert not [one for one in client.seen if one["type"] == "event"]


# The consumer of a site.


@pytest.mark.parametrize("kind", ["daphne", "uvicorn", "websockets", "wsproto"])
async def test_a_consumer_of_the_site_gets_events_of_its_topic(site: Site, kind: str) -> None:
    """From any server, as JSON text, beside its own messages."""
    server = next((one for one in site.servers if kind in one.log_path.name), None)
    if server is None:
        [server] = site.start(kind, application=APPLICATION)
    async with (
        await Client.connect(f"{server.ws}/chat/lobby/") as one,
        await Client.connect(f"{site.servers[1].ws}/chat/lobby/") as other,
    ):
        await asyncio.sleep(0.5)  # a consumer does not say when it has subscribed
        for text in ("hello", "again"):
            await one.socket.send(text)
        mine = [await one.socket.recv() for _ in range(4)]
        assert [text for text in mine if str(text).startswith("heard")] == [
            "heard hello",
            "heard again",
        ]
        told = [json.loads(text) for text in mine if not str(text).startswith("heard")]
        told += [json.loads(await other.socket.recv()) for _ in range(2)]
        for event in told:
            assert (event["type"], event["topic"], event["name"]) == ("event", "chat/lobby", "said")
        assert [one["data"]["message"] for one in told] == ["hello", "again"] * 2
    async with await Client.connect(f"{server.ws}/early/") as early:
        assert "await self.accept()" in str(await early.socket.recv())


FLOOD = """
from tests.e2e.orders import ChatTopic, Said
for number in range(700):
    ChatTopic(room_name="flood").publish(Said(message=str(number) + " " * 20_000))
    time.sleep(0.005)
"""


async def test_a_subscriber_that_reads_nothing_is_closed_and_the_others_get_everything(
    site: Site,
) -> None:
    """Also if its socket belongs to a consumer of the site."""
    url = f"{site.servers[0].ws}/chat/flood/"
    async with await Client.connect(url) as reader, await Client.connect(url) as sleeper:
        await asyncio.sleep(0.5)
        sleeper.socket.transport.pause_reading()
        flooding = asyncio.create_task(asyncio.to_thread(site.run, "-c", START + FLOOD))
        texts = [json.loads(await reader.socket.recv())["data"]["message"] for _ in range(700)]
        assert [int(text) for text in texts] == list(range(700))
        await flooding
        sleeper.socket.transport.resume_reading()
        await sleeper.closed()
