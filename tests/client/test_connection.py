"""How long a client tries to connect, and in which encoding it speaks."""

import asyncio

import pytest

from harness.waiting import eventually
from realtime.client import Client, RealtimeError
from realtime.client import connection as module
from realtime.client.frames import EncodingName
from tests.client.scripted import Script, event
from tests.client.talking import lost, opened, subscribed


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_client_that_was_never_connected_is_refused_at_once(
    script: Script, status: int
) -> None:
    script.refuses_with = status
    with pytest.raises(RealtimeError, match=str(status)):
        await Client(script.url).__aenter__()
    assert script.handshakes == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_a_passing_fault_is_tried_again(script: Script, status: int) -> None:
    script.refuses_with = status
    with pytest.raises(RealtimeError, match="timeout"):
        await Client(script.url, timeout=0.2).__aenter__()


async def test_a_client_that_was_connected_tries_again(script: Script) -> None:
    """As after a deploy that answers 404 for a while."""
    client, socket = await opened(script)
    script.refuses_with = 404
    await lost(client, socket)
    for number in (2, 3):
        client.reconnect_now()
        await eventually(lambda number=number: script.handshakes == number)
        await eventually(lambda: client.state == "waiting")
    script.refuses_with = None
    client.reconnect_now()
    await script.welcomed()
    await eventually(lambda: client.state == "open")
    await client.close()


async def test_a_client_that_is_refused_for_long_ends(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_SECONDS", 0)
    client, socket = await opened(script)
    script.refuses_with = 403
    await lost(client, socket)
    client.reconnect_now()
    await eventually(lambda: script.handshakes == 2 and client.state == "waiting")
    client.reconnect_now()
    await eventually(lambda: client.state == "closed")
    with pytest.raises(RealtimeError, match="HTTP status 403"):
        await client.room("general").join()
    await client.close()


@pytest.mark.parametrize("encoding", ["ndjson", "msgpack", "json"])
async def test_a_server_without_subprotocols_gets_plain_json(encoding: EncodingName) -> None:
    """One object a frame, also if several are written at once."""
    async with Script(subprotocol=None) as script:
        client, socket = await opened(script, encoding=encoding)
        for name in "abc":
            client._session.send_loose({"type": "typing", "room": name})
        rooms = [(await socket.expect("typing"))["room"] for _ in range(3)]
        assert (rooms, len(socket.sizes)) == (["a", "b", "c"], 3)
        await client.close()


async def test_values_in_plain_json_are_read_by_a_client_of_messagepack() -> None:
    async with Script(subprotocol=None) as script:
        client, socket = await opened(script, encoding="msgpack")
        topic = client.topic("order/7")
        task = asyncio.create_task(topic.subscribe())
        await socket.subscribed(await socket.expect("subscribe"))
        await task
        await socket.send(event(1, key="spot"))
        await eventually(lambda: len(topic.values) == 1)
        assert topic.values["spot"] == {"total": 1}
        await client.close()


async def test_the_encoding_that_was_offered_is_used_if_it_is_answered(script: Script) -> None:
    client, _, socket = await subscribed(script)
    before = len(socket.sizes)
    for name in "abc":
        client._session.send_loose({"type": "typing", "room": name})
    for _ in range(3):
        await socket.expect("typing")
    assert len(socket.sizes) == before + 1
    await client.close()
