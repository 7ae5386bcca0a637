"""Rooms and topics as durable streams: the public test suite, and the public clients."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from harness.client.over_http import bearer, commands
from harness.javascript import find_node
from harness.site import ROOT, UNLIMITED, Factory, Server

SUITE = ROOT / "tests" / "over_http" / "suite"
ROOMS = {"long-poll": "room-1", "sse": "room-2"}


@pytest.fixture(scope="module")
def server(make_shared_site: Factory) -> Server:
    """A server whose durable streams can be written."""
    limits = {
        "GUESTS": True,
        "ALLOWED_ORIGINS": ["https://example.com"],
        "HANDSHAKES_PER_SECOND": 100_000,
        "HANDSHAKES_BURST": 100_000,
    }
    site = make_shared_site(
        database="sqlite", layer="memory", servers=(), settings=UNLIMITED | limits
    )
    [server] = site.start("daphne", application="tests.e2e.written_asgi:application")
    return server


async def run_node(*arguments: str, **variables: str) -> str:
    """Run a program of the folder of the suite, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *find_node(*arguments[:1], package=SUITE),
        *arguments[1:],
        cwd=SUITE,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, output.decode() + errors.decode()
    return output.decode()


async def test_the_public_suite_of_the_protocol_passes(server: Server, tmp_path: Path) -> None:
    """All that concerns reading; what is left out has its reason in a list."""
    report = tmp_path / "report.json"
    options = ["--reporter=dot", "--reporter=json", f"--outputFile.json={report}"]
    await run_node("vitest/vitest.mjs", "run", *options, STREAMS=server.url)
    told = json.loads(report.read_text())
    assert told["numFailedTests"] == 0
    page = (ROOT / "docs" / "http.md").read_text()
    assert f"{told['numPassedTests']} tests pass" in page
    assert f"{told['numPendingTests']} are left out" in page


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_the_public_client_reads_a_room(server: Server, live: str) -> None:
    """What is stored, and then what comes, each once and in order."""
    url = f"{server.url}/realtime/http"
    [welcome] = await commands(url)
    token = welcome["guest_token"]

    async def say(*texts: str) -> None:
        sent = (
            {"type": "message", "room": ROOMS[live], "content": one, "nonce": one} for one in texts
        )
        await commands(url, *sent, headers=bearer(token))

    await commands(url, {"type": "join", "room": ROOMS[live], "ref": 1}, headers=bearer(token))
    await say("a", "b")
    address = f"{server.url}/realtime/streams/room/{ROOMS[live]}"
    process = await asyncio.create_subprocess_exec(
        *find_node(package=SUITE),
        "reader.js",
        cwd=SUITE,
        env=os.environ | {"ADDRESS": address, "TOKEN": token, "LIVE": live, "MOST": "20"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert json.loads(await process.stdout.readline()) == ["a", "b"]
            for number in range(20):
                await say(str(number))
            assert json.loads(await process.stdout.readline()) == [str(n) for n in range(20)]
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
