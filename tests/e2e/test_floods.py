"""Input that no command limits count is bounded under every server whose input can be seen."""

import asyncio
from contextlib import suppress

import pytest

from harness.client.frames import CONTINUATION, PING, PONG, TEXT, frame, head, upgrade
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Factory, Server, Site
from tests.faults.meters import MB, Memory

SERVERS = ["daphne", "uvicorn", "uvloop", "websockets", "wsproto", "hypercorn"]
BLOCK = 5_000
FLOODS = {
    "pings": frame(b"", PING) * BLOCK,
    "pongs": frame(b"x", PONG) * BLOCK,
    "empty texts": frame(b"", TEXT) * BLOCK,
    "fragments": frame(b"x", TEXT, is_last=False) + frame(b"", CONTINUATION, is_last=False) * BLOCK,
}


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    site = make_shared_site(servers=(), settings={"GUESTS": True})
    site.start(*SERVERS)
    return site


@pytest.fixture(params=range(len(SERVERS)), ids=SERVERS)
def server(request: pytest.FixtureRequest, site: Site) -> Server:
    return site.servers[request.param]


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_of_frames_is_cut_and_its_client_told(server: Server, flood: bytes) -> None:
    raw = await Raw.open(server.ws)
    await raw.expect("welcome")
    raw.writer.write(flood)
    told = await raw.expect("disconnect")
    assert (told["code"], told["reconnect"]) == (4029, True)
    assert told["retry_after"] >= 5
    raw.drop()


async def test_a_frame_that_is_too_large_costs_nothing_but_an_answer(server: Server) -> None:
    """The connection stays, and what comes after it is answered."""
    raw = await Raw.open(server.ws)
    await raw.expect("welcome")
    raw.write(b"x" * MB)
    assert (await raw.expect("error"))["code"] == "too_large"
    await raw.send("ping", t=1)
    await raw.expect("pong", t=1)
    await raw.close()


async def test_a_message_that_becomes_too_large_ends_the_connection(server: Server) -> None:
    """The server has its first part already."""
    raw = await Raw.open(server.ws)
    await raw.expect("welcome")
    for place in range(3):
        opcode = CONTINUATION if place else TEXT
        raw.write(b"x" * 40_000, opcode, is_last=False)
    assert (await raw.expect("error"))["code"] == "too_large"
    assert (await raw.expect("disconnect"))["code"] == 4511
    raw.drop()


async def test_input_before_the_handshake_is_done_is_not_kept(server: Server) -> None:
    """A client that does not wait for the answer: its first bytes wait, the others with it."""
    memory = Memory(server)
    await asyncio.gather(*(_send_early(server, 4 * MB) for _ in range(5)))
    assert memory.grown < 10 * MB
    async with await Client.connect(server.ws) as client:
        await client.expect("welcome")


async def _send_early(server: Server, size: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        with suppress(OSError):
            async with asyncio.timeout(10):
                writer.write(upgrade(server.ws))
                await asyncio.sleep(0)
                writer.write(head(size) + bytes(size))
                await writer.drain()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
