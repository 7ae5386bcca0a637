"""Bytes written past the server: on each that is known, and never where it has to compress."""

import asyncio

import pytest
from websockets.asyncio.client import connect

from tests.client import ENCODINGS, Client
from tests.services import Services
from tests.site import Factory, Server, Site, environment

SERVERS = ["daphne", "uvicorn", "uvloop"]
SIZES = [1, 60, 200, 4000]


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(servers=tuple(SERVERS))


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_installed_servers_are_known(services: Services, kind: str) -> None:
    """A release that is built otherwise would cost most of the speed, and nothing else."""
    server = Server(services.folder, environment(""), kind, "tests.e2e.bare:application")
    server.start()
    try:
        async with connect(server.ws, compression=None, proxy=None) as socket:
            assert await socket.recv() == "known"
            assert await socket.recv() == "past"
    finally:
        server.kill()


@pytest.mark.parametrize("number", range(len(SERVERS)), ids=SERVERS)
async def test_a_client_that_compresses_gets_what_others_get(site: Site, number: int) -> None:
    """Daphne agrees to no compression, uvicorn does; each encoding, with frames of every length."""
    url = site.urls[number]
    clients = [
        await Client.connect(url, encoding, compression=compression)
        for encoding in ENCODINGS
        for compression in (None, "deflate")
    ]
    for client in clients:
        await client.join("general")
    async with await Client.connect(url) as sender:
        await sender.join("general")
        for size in SIZES:
            await sender.say("general", "é" * size)
    seen = []
    for client in clients:
        got = [await client.expect("message") for _ in SIZES]
        seen.append([(one["seq"], one["content"]) for one in got])
    assert [len(content) for _, content in seen[0]] == SIZES
    assert all(one == seen[0] for one in seen)
    await asyncio.gather(*(client.close() for client in clients))
