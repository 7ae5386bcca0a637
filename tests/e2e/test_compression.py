"""No compression is agreed to: it would be done once for each reader, and tells secrets by lengths.

See RFC 7692, section 8, on what an attacker learns who can add to what is compressed. A client
that compresses has a server unpack a thousand times what it sends.
"""

import asyncio
import zlib

import pytest

from harness.client.frames import head
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Factory, Server, Site
from tests.faults.meters import MB, Memory

SERVERS = ["daphne", "uvicorn", "uvloop", "websockets", "wsproto", "hypercorn"]
OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate"}


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    site = make_shared_site(
        database="sqlite", layer="memory", servers=(), settings={"GUESTS": True}
    )
    site.start(*SERVERS)
    return site


@pytest.fixture(params=range(len(SERVERS)), ids=SERVERS)
def server(request: pytest.FixtureRequest, site: Site) -> Server:
    return site.servers[request.param]


async def test_a_client_that_would_compress_is_not_compressed_for(server: Server) -> None:
    """Under any server, with the options that it has by itself."""
    async with await Client.connect(server.ws, compression="deflate") as client:
        await client.join("general")
        assert client.socket.protocol.extensions == []


@pytest.mark.parametrize("headers", [{}, OFFER], ids=["without an offer", "with an offer"])
async def test_a_client_that_compresses_all_the_same_is_ended(
    server: Server, headers: dict[str, str]
) -> None:
    """Nothing of it is unpacked: 60 KB would be 60 MB."""
    memory = Memory(server)
    raw = await Raw.open(server.ws, headers)
    await raw.expect("welcome")
    payload = _packed(60 * MB)
    raw.writer.write(bytes([0xC1]) + head(len(payload))[1:] + payload)
    assert await raw.closed() in (4511, 1002)
    await asyncio.sleep(0)
    assert memory.peak < 20 * MB
    raw.drop()


def _packed(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
