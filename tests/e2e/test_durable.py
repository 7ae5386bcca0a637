"""Rooms and topics as durable streams: the public test suite, and the public clients."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from durable_streams import stream

from harness.client.encoding import Object
from harness.client.over_http import bearer, commands
from harness.javascript import find_node
from harness.site import ROOT, UNLIMITED, Factory, Server

SUITE = ROOT / "tests" / "over_http" / "suite"
ROOMS = {"long-poll": "room-1", "sse": "room-2"}
RESUMED = {"long-poll": "room-3", "sse": "room-4"}


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


class Writer:
    """A guest who writes in a room."""

    def __init__(self, server: Server, room: str, token: str) -> None:
        self.address = f"{server.url}/realtime/streams/room/{room}"
        self.token = token
        self._url = f"{server.url}/realtime/http"
        self._room = room

    @classmethod
    async def enter(cls, server: Server, room: str) -> "Writer":
        """Make a guest, and have them join a room."""
        [welcome] = await commands(f"{server.url}/realtime/http")
        writer = cls(server, room, welcome["guest_token"])
        await writer._send({"type": "join", "ref": 1})
        return writer

    async def say(self, *texts: str) -> None:
        """Send messages, in this order."""
        await self._send(*({"type": "message", "content": one, "nonce": one} for one in texts))

    async def _send(self, *sent: Object) -> None:
        addressed = (one | {"room": self._room} for one in sent)
        await commands(self._url, *addressed, headers=bearer(self.token))


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_the_public_client_reads_a_room(server: Server, live: str) -> None:
    """What is stored, and then what comes, each once and in order."""
    writer = await Writer.enter(server, ROOMS[live])
    say, token, address = writer.say, writer.token, writer.address
    await say("a", "b")
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


def read(writer: Writer, offset: str, live: Any, last: str) -> tuple[list[str], str]:
    """Read to a message by the public client in Python; return all, and the next offset."""
    told: list[str] = []
    headers = bearer(writer.token)
    with stream(writer.address, offset=offset, live=live, headers=headers, timeout=30) as found:
        for batch in found.iter_json_batches():
            told += [one["content"] for one in batch]
            if last in told:
                break
        return told, found.offset


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_the_public_client_in_python_resumes(server: Server, live: str) -> None:
    """It reads what is stored, then what comes, and after a break what it has missed.

    Server-sent events tell the offset after the messages: a reader that stops in between is told
    the last ones again.
    """
    writer = await Writer.enter(server, RESUMED[live])
    await writer.say("a", "b")
    told, offset = await asyncio.to_thread(read, writer, "-1", False, "b")
    assert told == ["a", "b"]
    for part in (range(5), range(5, 10)):
        texts = [str(number) for number in part]
        await writer.say(*texts[:2])
        reading = asyncio.create_task(asyncio.to_thread(read, writer, offset, live, texts[-1]))
        for text in texts[2:]:
            await writer.say(text)
        before = told
        told, offset = await reading
        again = len(told) - len(texts)
        assert told == before[len(before) - again :] + texts
