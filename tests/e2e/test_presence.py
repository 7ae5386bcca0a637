"""Presence of topics over two server processes, Redis and PostgreSQL, and after one was killed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from harness.client.encoding import Object
from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Site

APPLICATION = "tests.e2e.orders_asgi:application"
LEASE_SECONDS, PULSE_SECONDS, GRACE_SECONDS = 8, 2, 1
SETTINGS = {
    **UNLIMITED,
    "LEASE_SECONDS": LEASE_SECONDS,
    "PULSE_SECONDS": PULSE_SECONDS,
    "PRESENCE_GRACE_SECONDS": GRACE_SECONDS,
}
PRESENT = """
import django
django.setup()
from tests.e2e.orders import DeskTopic
print(*sorted(one.user_id for one in DeskTopic(pk={pk}).present()))
"""
CLOSE = """
import django
django.setup()
from django.db import transaction
from realtime.models import Room
from tests.e2e.orders import DeskTopic
with transaction.atomic():
    pk = Room.objects.create(slug="closed", kind="private", pk={pk}).pk
    DeskTopic(pk=pk).refresh_rights()
"""


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    made = make_shared_site(servers=(), urls="tests.e2e.orders", settings=SETTINGS)
    made.start("daphne", "daphne", application=APPLICATION)
    return made


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def connected(stack: AsyncExitStack, url: str) -> tuple[Client, str]:
    """Return a guest, and its id."""
    client = await stack.enter_async_context(await Client.connect(url))
    return client, str((await client.expect("welcome"))["user_id"])


async def subscribe(client: Client, topic: str) -> Object:
    told = await client.ask("subscribe", topic=topic)
    assert told["type"] == "subscribed", told
    return told


async def listed(client: Client, topic: str) -> set[str]:
    """Return who is there by the database."""
    found = await client.ask("presence", topic=topic)
    return {member["user_id"] for member in found["members"]}


async def rostered(client: Client, topic: str) -> set[str]:
    """Return who is there as the process of the client knows it."""
    return {member["user_id"] for member in (await subscribe(client, topic))["members"]}


async def settled(client: Client, topic: str, expected: set[str]) -> None:
    async with asyncio.timeout(10):
        while await listed(client, topic) != expected or await rostered(client, topic) != expected:
            await asyncio.sleep(0.1)


async def test_joins_and_leaves_are_told_by_all_processes(
    site: Site, stack: AsyncExitStack
) -> None:
    """Any process can ask who is there; a right that was taken ends the presence."""
    one, first = await connected(stack, site.urls[0])
    other, second = await connected(stack, site.urls[1])
    assert (await subscribe(one, "desk/1"))["count"] == 1
    await subscribe(other, "desk/1")
    await one.expect("joined", topic="desk/1", user_id=second)
    await settled(other, "desk/1", {first, second})
    found = await asyncio.to_thread(site.run, "-c", PRESENT.format(pk=1))
    assert found.split() == sorted([first, second])
    await other.ask("unsubscribe", topic="desk/1")
    await one.expect("left", topic="desk/1", user_id=second)
    await subscribe(one, "desk/99")
    await settled(one, "desk/99", {first})
    await asyncio.to_thread(site.run, "-c", CLOSE.format(pk=99))
    await one.expect("removed", topic="desk/99")
    found = await asyncio.to_thread(site.run, "-c", PRESENT.format(pk=99))
    assert found.split() == []


async def test_a_storm_over_two_processes_ends_with_the_truth(
    site: Site, stack: AsyncExitStack
) -> None:
    """Clients subscribe, unsubscribe and vanish; both rosters and the table agree then."""
    chance = random.Random(7)
    watchers = [await connected(stack, url) for url in site.urls]
    for client, _ in watchers:
        await subscribe(client, "desk/2")
    stayed = {user_id for _, user_id in watchers}

    async def waver(number: int) -> None:
        client, user_id = await connected(stack, site.urls[number % 2])
        for _ in range(20):
            await subscribe(client, "desk/2")
            await asyncio.sleep(chance.choice([0, 0, 0.03, 0.08]))
            await client.ask("unsubscribe", topic="desk/2")
        if number % 3 == 0:
            await subscribe(client, "desk/2")
            stayed.add(user_id)
        elif number % 3 == 1:
            await subscribe(client, "desk/2")
            client.socket.transport.abort()

    await asyncio.gather(*map(waver, range(12)))
    for client, _ in watchers:
        await settled(client, "desk/2", stayed)


async def test_subscribers_of_a_killed_process_leave_when_its_lease_ends(
    site: Site, stack: AsyncExitStack
) -> None:
    """It is the last test, because the process does not come back."""
    watcher, own = await connected(stack, site.urls[1])
    await subscribe(watcher, "desk/3")
    ghosts = {user_id for _, user_id in [await ghost(stack, site) for _ in range(3)]}
    await told(watcher, "joined", ghosts)
    site.servers[0].kill()
    killed = time.monotonic()
    await told(watcher, "left", ghosts)
    # The other one reaps when it has had its own lease for so long.
    assert time.monotonic() - killed < 2 * LEASE_SECONDS + 3 * PULSE_SECONDS + 5
    await settled(watcher, "desk/3", {own})


async def told(client: Client, kind: str, users: set[str]) -> None:
    """Wait until the client is told this of each user."""
    waiting = set(users)
    while waiting:
        waiting.discard((await client.expect(kind, 40))["user_id"])


async def ghost(stack: AsyncExitStack, site: Site) -> tuple[Client, str]:
    client, user_id = await connected(stack, site.urls[0])
    await subscribe(client, "desk/3")
    return client, user_id
