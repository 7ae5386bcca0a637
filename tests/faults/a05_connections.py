"""Too many connections: of a user, of an address, of a process, and of those who only dial."""

import asyncio
import itertools
from contextlib import AsyncExitStack, suppress
from urllib.parse import quote

from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import UNLIMITED
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import allow_many_files, asking, connect, p99, ping

OF_A_USER, OF_AN_ADDRESS, OF_A_PROCESS = 20, 100, 150
GUESTS_OF_A_PROCESS = 135
"""A tenth of the places is kept for users."""
CROWDED, AT_CAPACITY = 4014, 4013
TOO_MANY = 5
DRIP_SECONDS = 0.2


@fault(
    "A5",
    "5,000 TCP connects (in CI 300), half of them dripping headers; more sockets than limits allow",
    must={
        "let in beyond a limit": 0,
        "kept out below one": 0,
        "closed with another code": 0,
        "not let in again": 0,
        "ping p99, ms": 200,
        "slowest connect, ms": 1000,
    },
)
async def connections(ground: Ground) -> Figures:
    """Limits a user (4014), an address (4014) and a process (4013); then the process goes on.

    Who drips headers is held by Daphne as long as it likes; nginx in front cuts that.
    """
    allow_many_files()
    figures: Figures = dict.fromkeys(
        ("let in beyond a limit", "kept out below one", "closed with another code"), 0
    )
    figures["not let in again"] = 0
    [url] = ground.make_site(settings={"TRUSTED_PROXIES": 1}).urls
    addresses = (f"198.51.100.{number}" for number in itertools.count(1))
    async with await Client.connect(url) as guest:
        token = quote((await guest.expect("welcome"))["guest_token"])
    of_a_user = [(f"{url}?token={token}", next(addresses)) for _ in range(OF_A_USER + TOO_MANY)]
    await _crowd(of_a_user, OF_A_USER, CROWDED, figures)
    of_an_address = [(url, "203.0.113.7")] * (OF_AN_ADDRESS + TOO_MANY)
    await _crowd(of_an_address, OF_AN_ADDRESS, CROWDED, figures)
    settings = {**UNLIMITED, "CONNECTIONS_PER_PROCESS": OF_A_PROCESS}
    [server] = ground.make_site(settings=settings).servers
    of_a_process = [(server.ws, "")] * (GUESTS_OF_A_PROCESS + TOO_MANY)
    await _crowd(of_a_process, GUESTS_OF_A_PROCESS, AT_CAPACITY, figures)
    return figures | await _dial(server.port, server.ws, ground.size(300, 5000))


async def _crowd(places: list[tuple[str, str]], limit: int, code: int, figures: Figures) -> None:
    """Come from these URLs and addresses, one by one; when all are gone, one may come again."""
    sockets = []
    for url, address in places:
        sockets.append(await Raw.open(url, {"X-Forwarded-For": address} if address else None))
    ends = (
        [await _end(one) for one in sockets[:limit]],
        [await _end(one) for one in sockets[limit:]],
    )
    figures["kept out below one"] += sum(end != 0 for end in ends[0])
    figures["let in beyond a limit"] += ends[1].count(0)
    figures["closed with another code"] += sum(end not in (0, code) for end in ends[1])
    for one in sockets:
        one.drop()
    figures["not let in again"] += not await _comes_again(*places[-1])


async def _end(raw: Raw) -> int:
    """0 for one that is welcome, else the code it was told and closed with."""
    async with asyncio.timeout(30):
        await raw.read_frame()
    if raw.seen and raw.seen[0]["type"] == "welcome":
        return 0
    code = await raw.closed()
    return code if raw.seen and raw.seen[0].get("code") == code else -1


async def _comes_again(url: str, address: str) -> bool:
    """Whether there is room again, once the server has noticed."""
    for _ in range(50):
        raw = await Raw.open(url, {"X-Forwarded-For": address} if address else None)
        end = await _end(raw)
        raw.drop()
        if end == 0:
            return True
        await asyncio.sleep(0.1)
    return False


async def _dial(port: int, url: str, number: int) -> Figures:
    """Connect and say nothing, or one byte after the other, while others use the site."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect(url))
        pings = await stack.enter_async_context(asking(ping(client)))
        connects = await stack.enter_async_context(asking(connect(url), 0.1))
        dialled = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.transport.abort)
            dialled.append((reader, writer))
        for byte in b"GET /ws HTTP/1.1\r\n":
            for _, writer in dialled[::2]:
                with suppress(OSError):
                    writer.write(bytes([byte]))
            await asyncio.sleep(DRIP_SECONDS)
        held = sum(not reader.at_eof() for reader, _ in dialled)
    return {
        "ping p99, ms": p99(pings) * 1000,
        "slowest connect, ms": max(connects) * 1000,
        "dialled": number,
        "held by the server": held,
    }
