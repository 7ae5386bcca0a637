"""`manage.py realtime_serve` with the site: rolls, ends, and every kind of socket."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.client.websocket import Client
from harness.services import Services, wait_until
from harness.serving import Serve
from harness.site import Sites
from harness.streams import open_stream
from tests.serving.test_supervisor import is_alive

SLOW = "tests.e2e.slow_page:application"
"""The site, with a page that takes its time."""


Start = Callable[..., Serve]


@pytest.fixture
def start(services: Services, sites: Sites) -> Iterator[Start]:
    """Starts the command on a new database, and waits until its workers are ready."""
    made: list[Serve] = []
    database = sites.database_url("sqlite")

    def begin(*options: str, ready: int = 1, **more: Any) -> Serve:
        made.append(Serve(services.folder, database, *options, **more))
        made[-1].spawn()
        if ready:
            made[-1].until("is ready", ready)
        return made[-1]

    yield begin
    for one in made:
        one.kill()
        one.show_log()
        for pid in one.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_a_roll_moves_clients_and_ends_no_page(start: Start, server: str) -> None:
    """A page that is being made comes to its end; a new client is never refused."""
    serve = start(SLOW, "--server", server)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect(serve.ws))
        await client.join("general")
        page = asyncio.create_task(asyncio.to_thread(_page, f"{serve.url}/slow"))
        await asyncio.to_thread(serve.until, "the page is being made")
        comers = asyncio.create_task(_come(serve, until := asyncio.Event()))
        await serve.rolled()
        until.set()
        assert await client.closed() == 4001
        assert client.seen[-1]["type"] == "disconnect"
        assert client.seen[-1]["retry_after"] < 0.5
        assert await page == "made"
        assert await comers > 0
        again = await stack.enter_async_context(await Client.connect(serve.ws))
        await again.join("general")
        serve.signal(signal.SIGTERM)
        assert await again.closed() == 4001
    assert await asyncio.to_thread(serve.wait, 15) == 0
    assert "Traceback" not in serve.log()


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


async def _come(serve: Serve, until: asyncio.Event) -> int:
    """Connect again and again; each is welcomed."""
    number = 0
    while not until.is_set():
        async with await Client.connect(serve.ws) as client:
            await client.expect("welcome")
        number += 1
        await asyncio.sleep(0.1)
    return number


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_workers_drain_when_their_supervisor_is_killed(start: Start, server: str) -> None:
    """Nobody else can take the port before, and everybody can afterwards."""
    serve = start("--server", server)
    async with await Client.connect(serve.ws) as client:
        await client.join("general")
        assert serve.popen is not None
        os.kill(serve.popen.pid, signal.SIGKILL)
        assert await client.closed() == 4001
    for pid in serve.workers():
        await asyncio.to_thread(wait_until, lambda pid=pid: not is_alive(pid), 15, "it lives on")
    with socket.create_server(("127.0.0.1", serve.port)):
        pass


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_a_unix_socket_stays_over_a_roll(
    start: Start, services: Services, server: str
) -> None:
    """The worker that ends must not remove the file, and the command does; its mode stays, too."""
    path = services.folder / f"serve-{server}.socket"
    serve = start("--unix", str(path), "--unix-mode", "600", "--server", server, port=0)
    await serve.rolled()
    assert await _status(path=path) == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    serve.signal(signal.SIGTERM)
    assert await asyncio.to_thread(serve.wait, 15) == 0
    assert not path.exists()


async def _status(**where: Any) -> int:
    reader, writer = await asyncio.open_unix_connection(**where)
    writer.write(b"GET /realtime/ready/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    status = int((await reader.readline()).split()[1])
    writer.transport.abort()
    return status


async def test_a_socket_of_systemd_is_taken(start: Start, services: Services) -> None:
    """It stays open over a restart of the whole service, so nobody is refused; systemd is told."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=64) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        address = str(services.folder / "notify.socket")
        notified.bind(address)
        notified.settimeout(60)
        port = listener.getsockname()[1]
        for _ in range(2):
            serve = start(port=port, ready=0, listener=listener, NOTIFY_SOCKET=address)
            assert await asyncio.to_thread(notified.recv, 100) == b"READY=1"
            async with open_stream("127.0.0.1", port) as (reader, writer):
                writer.write(b"GET /realtime/live/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await reader.readline()).split()[1] == b"200"
            serve.signal(signal.SIGTERM)
            assert await asyncio.to_thread(serve.wait, 15) == 0
            assert await asyncio.to_thread(notified.recv, 100) == b"STOPPING=1"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--port", "0", "--unix", "x"], 1, "Use only one of --bind with --port, --unix and --fd."),
        (["--workers", "0"], 2, "at least 1"),
        (["--port", "65536"], 2, "from 0 to 65535"),
        (["--port", "web"], 2, "invalid"),
        (["--drain", "-1"], 2, "from 0 to 86400"),
        (["--drain", "nan"], 2, "from 0 to 86400"),
        (["--unix-mode", "888"], 2, "invalid"),
        (["--fd", "0"], 1, "not a socket"),
        (["--bind", "203.0.113.7"], 1, "is not an address of this machine"),
        (["--port", "0", "--options", "'"], 1, "cannot be read"),
        (["--port", "0", "no.such.module:application"], 3, "No worker can start"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said(start: Start, options: list[str], code: int, told: str) -> None:
    """With an exit code that says whose fault it is."""
    serve = start(*options, port=0, ready=0)
    assert serve.wait(120) == code
    assert told in serve.log()


def test_a_port_in_use_is_said(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        serve = start("--port", port, port=0, ready=0)
        assert serve.wait(60) == 1
        assert f"Port {port} of 127.0.0.1 is in use." in serve.log()


TOKEN = {"METRICS": "token", "METRICS_TOKEN": "t"}
OPENED = "realtime_connections_opened_total"


def _scrape(serve: Serve, name: str) -> dict[str, float]:
    """Return the value of a metric for each worker."""
    request = urllib.request.Request(
        f"{serve.url}/realtime/metrics", headers={"Authorization": "Bearer t"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read().decode()
    return {
        worker: float(value)
        for worker, value in re.findall(rf'^{name}{{worker="(\d+)"}} (\S+)$', text, re.M)
    }


async def _until_opened(serve: Serve, number: int, seen: list[dict[str, float]]) -> None:
    """Scrape until so many connections are counted; keep what was seen."""

    def are_counted() -> bool:
        seen.append(_scrape(serve, OPENED))
        return sum(seen[-1].values()) == number

    await asyncio.to_thread(wait_until, are_counted, 20, f"{number} connections")


async def test_one_scrape_has_the_numbers_of_all_workers(
    start: Start, redis_url: str, tmp_path: Path
) -> None:
    """Whoever answers; and no counter decreases when a worker is killed, or all are replaced."""
    serve = start(
        *("--workers", "2", "--drain", "1"),
        ready=2,
        REDIS_URL=redis_url,
        REALTIME_TEST_SETTINGS=json.dumps(TOKEN),
        TMPDIR=str(tmp_path),
    )
    seen: list[dict[str, float]] = []
    async with AsyncExitStack() as stack:
        for _ in range(12):
            await stack.enter_async_context(await Client.connect(serve.ws))
        await _until_opened(serve, 12, seen)
        assert seen[-1].keys() == {"0", "1"}
        assert sum(_scrape(serve, "realtime_connections").values()) == 12
        os.kill(serve.workers()[0], signal.SIGKILL)
        await asyncio.to_thread(serve.until, "is ready", 3)
        await stack.enter_async_context(await Client.connect(serve.ws))
        await _until_opened(serve, 13, seen)
        await serve.rolled()
    async with await Client.connect(serve.ws):
        await _until_opened(serve, 14, seen)
        assert sum(_scrape(serve, "realtime_connections").values()) == 1
    for worker in ("0", "1"):
        counted = [one[worker] for one in seen]
        assert counted == sorted(counted)
    serve.signal(signal.SIGTERM)
    assert await asyncio.to_thread(serve.wait, 15) == 0
    assert list(tmp_path.iterdir()) == []
