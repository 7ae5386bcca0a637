"""No compression is agreed to: it would be done once for each reader, and tells secrets by lengths.

See RFC 7692, section 8, on what an attacker learns who can add to what is compressed.
"""

import re
import sys
from pathlib import Path

import pytest

from tests.client import Client
from tests.services import Process, answers, free_port
from tests.site import ROOT, Factory

PAGE = (Path(__file__).parent.parent.parent / "docs" / "deploy.md").read_text()
[UVICORN] = re.findall(r"^ExecStart=\S+/uvicorn (.*) \S+:application$", PAGE, re.MULTILINE)
COMMANDS = {"daphne": "-b 127.0.0.1 -p %i", "uvicorn": UVICORN}


@pytest.mark.parametrize("kind", COMMANDS)
async def test_a_client_that_would_compress_is_not_compressed_for(
    make_site: Factory, kind: str
) -> None:
    """Under Daphne as it is, and under uvicorn as docs/deploy.md starts it."""
    site, port = make_site(database="sqlite", layer="memory", servers=()), free_port()
    options = COMMANDS[kind].replace("%i", str(port)).split()
    command = [sys.executable, "-m", kind, *options, "project.asgi:application"]
    server = Process(command, site.folder / f"{kind}-{port}.log", cwd=ROOT, env=site.env)
    server.spawn()
    try:
        server.wait_ready(lambda: answers(port))
        url = f"ws://127.0.0.1:{port}/ws"
        async with await Client.connect(url, compression="deflate") as client:
            await client.join("general")
            assert client.socket.protocol.extensions == []
    finally:
        server.kill()
