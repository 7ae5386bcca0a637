"""A server that ends says so: to load balancers, to clients, and to the tables."""

import asyncio
import contextlib
import signal
import time
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from harness.client.websocket import Client
from harness.site import Factory, Server
from harness.streams import open_stream
from harness.waiting import eventually

KINDS = pytest.mark.parametrize("kind", ["daphne", "uvicorn", "uvloop"])
OTHERS = ["websockets", "wsproto", "hypercorn", "granian"]
ALL = pytest.mark.parametrize("kind", ["daphne", "uvicorn", "uvloop", *OTHERS])


@ALL
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_every_client_is_told_when_to_come_back_and_nothing_is_left(
    make_site: Factory, kind: str, number: signal.Signals
) -> None:
    """In-band, with 4001, spread over seconds; the process is gone within ten."""
    site = make_site(servers=(kind,))
    [server] = site.servers
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await Client.connect(server.ws)) for _ in range(50)
        ]
        for client in clients:
            await client.join("general")
        await eventually(lambda: site.database.count("presence") == 50)
        began = time.monotonic()
        server.signal(number)
        assert await asyncio.gather(*(client.closed() for client in clients)) == [4001] * 50
        told = [client.seen[-1] for client in clients]
        assert {one["type"] for one in told} == {"disconnect"}
        assert len({one["retry_after"] for one in told}) > 10
        await asyncio.to_thread(server.wait, 10)
        assert time.monotonic() - began < 10
    for table in ("node", "connection", "presence"):
        assert site.database.count(table) == 0
    assert "Traceback" not in server.log()


@ALL
async def test_what_was_sent_before_the_end_is_acknowledged(make_site: Factory, kind: str) -> None:
    """A room whose row is locked for a moment: the messages wait for it, and so does the end."""
    site = make_site(servers=(kind,))
    [server] = site.servers
    async with await Client.connect(server.ws) as client:
        await client.join("general")
        await client.say("general", "so that there is a head")
        with site.database.connect() as holder:
            holder.execute("SELECT 1 FROM realtime_head FOR UPDATE")
            for turn in range(20):
                await client.send("message", room="general", content=str(turn), nonce=f"n{turn}")
            await client.send("ping", t=1)
            await client.expect("pong")
            server.signal(signal.SIGTERM)
            await asyncio.sleep(0.7)
            holder.rollback()
        assert await client.closed() == 4001
        acks = [item for item in client.seen if item["type"] == "ack"]
        assert [ack["nonce"] for ack in acks[1:]] == [f"n{turn}" for turn in range(20)]
        assert client.seen[-1]["type"] == "disconnect"
    assert site.database.last_seq("general") == 21


@KINDS
async def test_readiness_turns_503_and_new_clients_are_sent_elsewhere(
    make_site: Factory, kind: str
) -> None:
    """While the last messages are committed."""
    site = make_site(servers=(kind,))
    [server] = site.servers
    assert await _status(server, "ready") == 200
    async with await Client.connect(server.ws) as client:
        await client.join("general")
        await client.say("general", "so that there is a head")
        with site.database.connect() as holder:
            holder.execute("SELECT 1 FROM realtime_head FOR UPDATE")
            await client.send("message", room="general", content="waits", nonce="n")
            await client.send("ping", t=1)
            await client.expect("pong")
            server.signal(signal.SIGTERM)
            async with asyncio.timeout(1.5):
                while await _status(server, "ready") != 503:
                    await asyncio.sleep(0.02)
            assert await _status(server, "live") == 200
            async with await Client.connect(server.ws) as late:
                assert await late.closed() == 4001
            holder.rollback()
        assert await client.closed() == 4001


async def test_who_insists_does_not_wait(make_site: Factory) -> None:
    """Uvicorn: a second signal is passed on to it at once."""
    site = make_site(servers=("uvicorn",))
    [server] = site.servers
    async with await Client.connect(server.ws) as client:
        await client.join("general")
        await client.say("general", "so that there is a head")
        with site.database.connect() as holder:
            holder.execute("SELECT 1 FROM realtime_head FOR UPDATE")
            await client.send("message", room="general", content="waits", nonce="n")
            await client.send("ping", t=1)
            await client.expect("pong")
            server.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            server.signal(signal.SIGTERM)
            began = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                await client.closed()
            assert time.monotonic() - began < 1.5
            holder.rollback()


async def _status(server: Server, page: str) -> int:
    async with open_stream("127.0.0.1", server.port) as (reader, writer):
        writer.write(f"GET /realtime/{page}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
