"""Batches at real servers: what is gathered is handled, however the connection ends."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from harness.client.raw import Raw
from harness.site import UNLIMITED, Factory, Server
from harness.waiting import eventually

SERVERS = ["daphne", "uvicorn", "websockets", "wsproto", "hypercorn", "granian"]
PATHS = ["", "thread/"]
SETTINGS: dict[str, Any] = {**UNLIMITED, "GUESTS": True}
Gathered = Callable[[], list[list[str]]]


@pytest.fixture
def start(make_site: Factory, tmp_path: Path) -> Callable[[str], tuple[Server, Gathered]]:
    """Starts a server by its kind; and what its batches were."""
    file = tmp_path / "gathered"

    def gathered() -> list[list[str]]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def run(kind: str) -> tuple[Server, Gathered]:
        site = make_site(database="sqlite", layer="memory", servers=(), settings=SETTINGS)
        [server] = site.start(
            kind, application="tests.e2e.gathering:application", GATHERED=str(file)
        )
        return server, gathered

    return run


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_gathered_is_handled_at_each_end(
    start: Callable[[str], tuple[Server, Gathered]], kind: str, path: str
) -> None:
    """The client closes, the client vanishes, the server is told to stop."""
    server, gathered = start(kind)
    address = f"{server.ws}/{path}"
    async with connect(address) as client:
        await client.send("closed")
    await eventually(lambda: gathered() == [["closed"]], 15)
    raw = await Raw.open(address)
    raw.write("vanished")
    raw.write("too")
    await raw.writer.drain()
    await asyncio.sleep(0.2)  # for the server to read them: an abort drops what is on its way
    raw.drop()
    await eventually(lambda: gathered()[1:] == [["vanished", "too"]], 15)
    async with connect(address) as client:
        for text in ("stopped", "also"):
            await client.send(text)
        await asyncio.sleep(0.2)
        stopping = asyncio.create_task(asyncio.to_thread(server.terminate))
        await asyncio.wait_for(client.wait_closed(), 15)
        await stopping
    assert gathered()[2:] == [["stopped", "also"]]


@pytest.mark.parametrize("kind", SERVERS[:3])
@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_sends_fast_gets_all_answers_in_order(
    start: Callable[[str], tuple[Server, Gathered]], kind: str, path: str
) -> None:
    """A slow handler holds the client back, and reading goes on after it."""
    server, gathered = start(kind)
    number = 2000 if not path else 200

    async with connect(f"{server.ws}/{path}") as client:

        async def send() -> None:
            for one in range(number):
                await client.send(str(one))

        sending = asyncio.create_task(send())
        assert [await client.recv() for _ in range(number)] == [str(one) for one in range(number)]
        await sending
    assert [text for batch in gathered() for text in batch] == [str(one) for one in range(number)]
    assert {len(batch) for batch in gathered()} == {50}
