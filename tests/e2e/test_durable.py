"""Rooms and topics as durable streams: the public test suite, and the public clients."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from harness.javascript import find_node
from harness.site import ROOT, UNLIMITED, Factory, Server

SUITE = ROOT / "tests" / "over_http" / "suite"


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
