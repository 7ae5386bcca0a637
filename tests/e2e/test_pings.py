"""Who answers the protocol's own question needs no pings of the server; who does not gets them."""

import pytest

from harness.client.frames import PING, PONG, TEXT
from harness.client.raw import PROMISES, Raw
from harness.services import Services
from harness.site import Factory, Server

OPTIONS = {
    "daphne": ["--ping-interval", "1"],
    "uvicorn": ["--ws-ping-interval", "1"],
    "uvloop": ["--ws-ping-interval", "1"],
}


@pytest.mark.parametrize("kind", OPTIONS)
async def test_the_server_pings_only_who_has_promised_nothing(
    services: Services, make_site: Factory, kind: str
) -> None:
    site = make_site(servers=(), settings={"GUESTS": True})
    server = Server(services.folder, site.env, kind, options=OPTIONS[kind])
    server.start()
    try:
        promising, plain = await Raw.open(server.ws, PROMISES), await Raw.open(server.ws)
        for peer in (promising, plain):
            await peer.expect("welcome")
        for _ in range(2):  # a server may begin anew after each message
            for _ in range(2):
                await _pinged(plain)
            await promising.send("ping")
            opcode, payload = await promising.read_frame()
            assert opcode == TEXT
            assert b"pong" in payload
        for peer in (promising, plain):
            await peer.close()
    finally:
        server.kill()
        server.show_log()


async def _pinged(peer: Raw) -> None:
    while True:
        opcode, payload = await peer.read_frame()
        if opcode == PING:
            peer.write(payload, PONG)
            return
