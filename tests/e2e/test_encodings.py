"""Three encodings say the same; two of them put several events in a frame under load."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack

import pytest

from harness.client.encoding import ENCODINGS, Object
from harness.client.websocket import Client
from harness.site import Factory, Site


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site()


async def test_the_three_encodings_give_the_same_events(site: Site) -> None:
    """One of everything that others can see, watched in each encoding and without one."""
    async with AsyncExitStack() as stack:
        watchers = [
            await stack.enter_async_context(await Client.connect(site.urls[0], encoding))
            for encoding in ["", *ENCODINGS]
        ]
        for watcher in watchers:
            await watcher.join("room-1")
        async with await Client.connect(site.urls[0]) as actor:
            user_id = (await actor.join("room-1"))["user_id"]
            for watcher in watchers:
                # Who comes and goes within one batch of presence is told neither way.
                await watcher.expect("joined", user_id=user_id)
            await actor.say(
                "room-1", "é 👩‍👧 \u2028", data={"a": [1, 2.5, None, True, {"b": "c"}]}, nonce="n1"
            )
            await actor.send("typing", room="room-1")
            await actor.send("signal", room="room-1", data={"x": [1, "2"]})
            for turn in range(20):
                await actor.say("room-1", f"message {turn}")
            await actor.send("leave", room="room-1")
        seen = [await _events_until_left(watcher, user_id) for watcher in watchers]
    assert {item["type"] for item in seen[0]} == {"joined", "message", "typing", "signal", "left"}
    assert [item["type"] for item in seen[0]].count("message") == 21
    assert seen[0] == seen[1] == seen[2] == seen[3]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_replies_are_the_same_in_each_encoding(site: Site, encoding: str) -> None:
    """The state on joining, history, presence, pong and errors have the same fields and types."""
    async with (
        await Client.connect(site.urls[0]) as plain,
        await Client.connect(site.urls[0], encoding) as other,
    ):
        shapes = [await _replies(client) for client in (plain, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_frames_hold_several_events_under_load_where_that_was_agreed(
    site: Site, encoding: str
) -> None:
    """2,000 messages from ten clients at once; a JSON frame still holds exactly one object."""
    room = f"room-{2 + ENCODINGS.index(encoding)}"
    async with AsyncExitStack() as stack:
        senders = [
            await stack.enter_async_context(await Client.connect(site.urls[0], "ndjson"))
            for _ in range(10)
        ]
        watcher = await stack.enter_async_context(await Client.connect(site.urls[0], encoding))
        for client in (*senders, watcher):
            await client.join(room)
        watcher.frames.clear()
        reading = asyncio.gather(*(_read_messages(client, 2_000) for client in (watcher, *senders)))
        await asyncio.gather(*(_send_messages(sender, room, 200) for sender in senders))
        assert await asyncio.wait_for(reading, 60) == [list(range(1, 2_001))] * 11
    if encoding == "json":
        assert set(watcher.frames) == {1}
    else:
        assert len(watcher.frames) < 1_000


@pytest.mark.alone
async def test_an_idle_server_sends_each_event_at_once(site: Site) -> None:
    """With nothing else to do, the coalescing encodings are as quick as the plain one."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await Client.connect(site.urls[0], encoding))
            for encoding in ENCODINGS
        ]
        for client in clients:
            await client.join("room-9")
        delays = [await _delays(client, clients[0]) for client in clients]
    plain, *coalescing = [statistics.median(found) for found in delays]
    assert max(coalescing) < plain + 0.005


async def _events_until_left(client: Client, user_id: str) -> list[Object]:
    """All that this user did; of the others each watcher sees something else."""
    await client.expect("left", user_id=user_id)
    own = [item for item in client.seen if item.get("user_id") == user_id]
    return [item for item in own if item["type"] != "welcome"]


async def _replies(client: Client) -> list[Object]:
    await client.expect("welcome")
    replies = [
        await client.join("room-0"),
        await client.say("room-0", "x", data={"a": 1}, nonce="same"),
    ]
    replies += [
        await client.ask("history", room="room-0", after=0),
        await client.ask("presence", room="room-0"),
        await client.ask("ping", t=5),
        await client.ask("message", room="nowhere", content="x"),
        await client.ask("no such thing"),
        await client.ask("leave", room="room-0"),
    ]
    return [{name: type(value).__name__ for name, value in reply.items()} for reply in replies]


async def _send_messages(client: Client, room: str, number: int) -> None:
    for turn in range(number):
        await client.send("message", room=room, content=f"{turn:0100}")


async def _read_messages(client: Client, number: int) -> list[int]:
    return [(await client.expect("message", 60))["seq"] for _ in range(number)]


async def _delays(client: Client, sender: Client) -> list[float]:
    """From sending to receiving, fifty times, one at a time."""
    delays = []
    for turn in range(50):
        content = f"{client.encoding} {turn}"
        before = time.monotonic()
        await sender.send("message", room="room-9", content=content)
        await client.expect("message", content=content)
        delays.append(time.monotonic() - before)
    return delays
