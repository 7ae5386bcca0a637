"""The Python client over real servers: what it sends is stored once, what is stored comes once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from harness.site import Site
from realtime.client import Client, MessageEvent, Room
from realtime.client.frames import EncodingName
from tests.proxy import Proxy


async def contents(room: Room, number: int) -> list[str | None]:
    """The texts of the next messages."""
    found: list[str | None] = []
    async with asyncio.timeout(60):
        async for event in room:
            if isinstance(event, MessageEvent):
                found.append(event.content)
                if len(found) == number:
                    break
    return found


@pytest.mark.parametrize("encoding", ["ndjson", "msgpack", "json"])
async def test_two_clients_talk(site: Site, encoding: EncodingName) -> None:
    one, two = site.urls
    async with Client(one, encoding=encoding) as ada, Client(two, encoding=encoding) as bob:
        room = await ada.room("general").join()
        other = await bob.room("general").join()
        acks = await asyncio.gather(*(room.send(f"{encoding} {number}") for number in range(20)))
        assert [ack.seq for ack in acks] == sorted(ack.seq for ack in acks)
        expected = [f"{encoding} {number}" for number in range(20)]
        assert await contents(other, 20) == expected
        assert await contents(room, 20) == expected


@asynccontextmanager
async def cut_often(proxy: Proxy, *clients: Client) -> AsyncIterator[None]:
    """Cut the line to the server again and again; the clients come back at once."""

    async def cut() -> None:
        while True:
            await asyncio.sleep(0.3)
            proxy.cut()
            await asyncio.sleep(0.02)
            proxy.restore()
            for client in clients:
                client.reconnect_now()

    cutting = asyncio.create_task(cut())
    try:
        yield
    finally:
        cutting.cancel()
        proxy.restore()


async def test_a_line_that_is_cut_again_and_again(site: Site) -> None:
    async with Proxy(site.servers[0].port) as proxy:
        address = f"ws://127.0.0.1:{proxy.port}/ws"
        async with Client(address) as ada, Client(address) as bob:
            room, other = await ada.room("room-1").join(), await bob.room("room-1").join()
            async with cut_often(proxy, ada, bob):
                sending = asyncio.gather(*(room.send(str(number)) for number in range(400)))
                assert await contents(other, 400) == [str(number) for number in range(400)]
                acks = await sending
            assert len({ack.seq for ack in acks}) == 400
            assert await contents(room, 400) == [str(number) for number in range(400)]
