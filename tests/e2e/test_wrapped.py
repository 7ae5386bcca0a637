"""What protects a process from its clients holds under any server and any middleware."""

import asyncio
import time
from contextlib import AsyncExitStack, closing
from typing import Any

import pytest

from harness.client.websocket import Client
from harness.site import Factory, Server, Site
from tests.e2e.test_slow import BULK, SilentSocket
from tests.faults.meters import MB, Memory

PLAIN = "project.asgi:application"
WRAPPERS = [f"tests.e2e.wrapped:{name}" for name in ("closure", "partial", "instance", "pump")]
SERVERS = [
    *[("daphne", wrapper) for wrapper in WRAPPERS],
    ("uvicorn", WRAPPERS[0]),
    ("uvicorn", WRAPPERS[3]),
    ("websockets", PLAIN),
    ("wsproto", PLAIN),
    ("hypercorn", PLAIN),
    ("hypercorn", WRAPPERS[3]),
    ("granian", PLAIN),
]
SILENT = 5
CUT_SECONDS, WATCH_SECONDS = 12, 30
MEMORY = 40 * MB
"""What a process may take: the messages themselves, and for each client a queue and a buffer."""


@pytest.mark.parametrize("kinds", [SERVERS[:4], SERVERS[4:8], SERVERS[8:]], ids=["1", "2", "3"])
async def test_a_client_that_never_reads_is_cut_by_every_server(
    make_site: Factory, kinds: list[tuple[str, str]]
) -> None:
    """Within seconds, and before it has cost much memory."""
    site = make_site(servers=())
    own, *servers = _start(site, [("daphne", PLAIN), *kinds])
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(await Client.connect(own.ws))
        await sender.join("general")
        silent = {
            (*kind, number): stack.enter_context(closing(SilentSocket(server, "general")))
            for kind, server in zip(kinds, servers, strict=True)
            for number in range(SILENT)
        }
        memory = {kind: Memory(server) for kind, server in zip(kinds, servers, strict=True)}
        cut = await _send_until_cut(sender, silent)
    assert {name for name in silent if cut.get(name, WATCH_SECONDS) > CUT_SECONDS} == set()
    assert {kind for kind, one in memory.items() if one.peak > MEMORY} == set()


def _start(site: Site, kinds: list[tuple[str, str]]) -> list[Server]:
    return site.add([Server(site.folder, site.env, kind, wrapper) for kind, wrapper in kinds])


async def _send_until_cut(sender: Client, silent: dict[Any, SilentSocket]) -> dict[Any, float]:
    """After how many seconds each was cut."""
    began = time.monotonic()
    cut: dict[Any, float] = {}
    while len(cut) < len(silent) and (now := time.monotonic() - began) < WATCH_SECONDS:
        await sender.send("message", room="general", content=BULK)
        await asyncio.sleep(0.015)
        cut |= {name: now for name, one in silent.items() if name not in cut and one.is_cut()}
    return cut
