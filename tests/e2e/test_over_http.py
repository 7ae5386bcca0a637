"""Plain HTTP under each server: replies, events, backpressure and the end of the process."""

import asyncio

import pytest

from harness.client.encoding import Object
from harness.client.over_http import bearer, commands, request, stream
from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Server

KINDS = ["daphne", "uvicorn", "hypercorn", "granian"]
JOIN = {"type": "join", "room": "general", "ref": 1}


@pytest.fixture(scope="module")
def servers(make_shared_site: Factory) -> dict[str, Server]:
    site = make_shared_site(
        database="sqlite",
        layer="pubsub",
        servers=KINDS,
        settings=UNLIMITED | {"PRESENCE_GRACE_SECONDS": 0.2},
    )
    return dict(zip(KINDS, site.servers, strict=True))


async def guest(url: str) -> dict[str, str]:
    [welcome] = await commands(url)
    return bearer(welcome["guest_token"])


def say(content: str) -> Object:
    return {"type": "message", "room": "general", "content": content, "nonce": content}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_gets_what_a_request_sends(servers: dict[str, Server], kind: str) -> None:
    """And so does a socket; each has the messages once and in order."""
    server = servers[kind]
    url, told = f"{server.url}/realtime/http", []
    headers = await guest(url)
    async with (
        await Client.connect(server.ws, origin=server.url) as socket,
        asyncio.timeout(30),
        stream(url, JOIN, headers=headers) as frames,
    ):
        await socket.join("general")
        async for frame in frames:
            if frame["type"] == "joined" and frame.get("ref") == 1:
                replies = await commands(
                    url, *(say(f"{kind} {n}") for n in range(50)), headers=headers
                )
                assert [one["type"] for one in replies].count("ack") == 50
            if frame["type"] == "message":
                told.append(frame["content"])
            if len(told) == 50:
                break
        assert told == [f"{kind} {n}" for n in range(50)]
        assert (await socket.expect("message", content=f"{kind} 49"))["username"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_has_gone_is_forgotten(servers: dict[str, Server], kind: str) -> None:
    """At once, and not after the sixty seconds of a stream."""
    server = servers[kind]
    url = f"{server.url}/realtime/http"
    async with await Client.connect(server.ws, origin=server.url) as socket:
        await socket.join("room-1")
        headers = await guest(url)
        async with stream(url, {"type": "join", "room": "room-1"}, headers=headers) as frames:
            assert (await anext(frames))["type"] == "welcome"
            joined = await socket.expect("joined", room="room-1")
        await socket.expect("left", timeout=30, user_id=joined["user_id"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_is_refused_has_a_status(
    servers: dict[str, Server], kind: str
) -> None:
    """And its body says why."""
    url = f"{servers[kind].url}/realtime/http"
    async with request(url, [], {"Origin": "https://evil.example"}) as response:
        assert response.status == 403
        assert [one["code"] async for one in response.frames()] == ["permission_denied"]


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_client_that_reads_nothing_is_ended(servers: dict[str, Server], kind: str) -> None:
    """After so many bytes, however much its server would buffer."""
    server = servers[kind]
    url, room = f"{server.url}/realtime/http", "room-2"
    async with await Client.connect(server.ws, origin=server.url) as socket:
        await socket.join(room)
        headers = await guest(url)
        async with request(f"{url}?stream", [{"type": "join", "room": room}], headers):
            joined = await socket.expect("joined", room=room)
            for number in range(320):
                await socket.send("message", room=room, content=f"{number} {'x' * 3900}")
            await socket.expect("left", timeout=30, user_id=joined["user_id"])
