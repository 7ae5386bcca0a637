"""What docs/deploy.md shows, as it stands but for names and paths: nginx, and the unit."""

import asyncio
import json
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harness.client.chatter import Chatter
from harness.client.consistency import compare
from harness.client.encoding import ENCODINGS
from harness.client.websocket import Client
from harness.services import Process, Services, answers, free_port, missing
from harness.site import ROOT, UNLIMITED, Factory, Server, Site, Sites, environment
from harness.streams import open_stream
from harness.waiting import eventually
from realtime.conf import Config
from tests.e2e.test_line import make_certificate
from tests.faults.traffic import settle, some_acks, started, stopped, talking

CONFIGURATION = (ROOT / "docs" / "nginx.conf").read_text()
UNIT = ROOT / "docs" / "realtime@.service"
PAGE = ROOT / "docs" / "deploy.md"
KINDS = {"daphne": UNIT, "uvicorn": PAGE}
"""Servers, and where the command stands that starts them."""
SNIPPET = r"```python\n(.*?)```"
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
    include {types};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/realtime.conf;
}}
"""
TYPES = "/etc/nginx/mime.types"
CLIENT = "127.0.0.7"
"""The whole of 127.0.0.0/8 is this machine: a client may come from an address of its own."""
FORGED = {
    "Daphne-Root-Path": "/admin",
    "Forwarded": "for=1.2.3.4",
    "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Proto": "http",
    "X-Real-IP": "1.2.3.4",
}


class Nginx(Process):
    """nginx with docs/nginx.conf; `changes` are made to it first."""

    def __init__(self, folder: Path, ports: Sequence[int], changes: dict[str, str]) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.folder = folder / f"nginx-{self.port}"
        self.folder.mkdir()
        certificate = str(make_certificate(folder))
        names = {
            "listen [::]:80;": "",
            "listen [::]:443 ssl;": "",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "server_name example.com;": "server_name 127.0.0.1;",
            "/etc/letsencrypt/live/example.com/fullchain.pem": certificate,
            "/etc/letsencrypt/live/example.com/privkey.pem": certificate,
            "/var/log/nginx": str(self.folder),
            "/srv/realtime/staticfiles/": f"{self.folder}/staticfiles/",
            "127.0.0.1:8001": f"127.0.0.1:{ports[0]}",
            "127.0.0.1:8002": f"127.0.0.1:{ports[-1]}",
        }
        text = CONFIGURATION
        for old, new in (names | changes).items():
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / "realtime.conf").write_text(text)
        (self.folder / "nginx.conf").write_text(AROUND.format(folder=self.folder, types=TYPES))
        options = ["-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        super().__init__([find_nginx(), *options], folder / f"nginx-{self.port}.log")
        self.trust = ssl.create_default_context(cafile=certificate)

    @property
    def ws(self) -> str:
        return f"wss://127.0.0.1:{self.port}/ws"

    def start(self) -> None:
        self.spawn()
        self.wait_ready(lambda: answers(self.port))

    def test(self) -> str:
        """What `nginx -t` says."""
        done = subprocess.run([*self.command, "-t"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    async def connect(self, path: str = "/ws", address: str = CLIENT, **options: Any) -> Any:
        """A WebSocket from that address of this machine."""
        url = f"wss://127.0.0.1:{self.port}{path}"
        return await connect(url, ssl=self.trust, local_addr=(address, 0), proxy=None, **options)

    async def client(self, encoding: str = "json", **options: Any) -> Client:
        """The same as a client of the protocol."""
        protocols = [f"realtime.v1.{encoding}"]
        return Client(await self.connect(subprotocols=protocols, **options), encoding)

    async def get(self, path: str, address: str = CLIENT, **headers: str) -> tuple[int, bytes]:
        """The status and the body of a page."""
        status, _, body = await self._ask(path, address, headers)
        return status, body

    async def head(self, path: str) -> tuple[int, bytes]:
        """The status and the headers of a page."""
        status, head, _ = await self._ask(path, CLIENT, {})
        return status, head

    async def _ask(
        self, path: str, address: str, headers: dict[str, str]
    ) -> tuple[int, bytes, bytes]:
        lines = {"Host": f"127.0.0.1:{self.port}", **headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        options = {"ssl": self.trust, "local_addr": (address, 0)}
        stream = open_stream("127.0.0.1", self.port, **options)
        async with asyncio.timeout(15), stream as (reader, writer):
            writer.write(f"GET {path} HTTP/1.0\r\n{text}\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body


COLLECT = """
import sys
import django
from django.conf import settings
settings.STATIC_ROOT = sys.argv[1]
settings.STORAGES = {"staticfiles": {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
django.setup()
from django.core.management import call_command
call_command("collectstatic", interactive=False, verbosity=0)
"""
StartNginx = Callable[..., Nginx]


def find_nginx() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    return found or missing("nginx", "no nginx on the PATH")


@pytest.fixture
def start_nginx(services: Services) -> Iterator[StartNginx]:
    """Starts nginx before servers at these ports, with changes to its configuration."""
    started: list[Nginx] = []

    def start(ports: Sequence[int], **changes: str) -> Nginx:
        known = {
            name: (old, old.replace(of, new))
            for name, new in changes.items()
            for old, of in [CHANGES[name]]
        }
        started.append(Nginx(services.folder, ports, dict(known.values())))
        started[-1].start()
        return started[-1]

    yield start
    for nginx in started:
        nginx.kill()
        nginx.show_log()


CHANGES = {
    "sockets": ("limit_conn realtime_sockets 100;", "100"),
    "handshakes": ("rate=20r/s;", "20"),
    "burst": ("burst=100 nodelay;", "100"),
    "headers": ("client_header_timeout 15s;", "15"),
    "bodies": ("client_body_timeout 15s;", "15"),
    "visitors": ("client_body_timeout 15s;", "15s;"),
}
BELIEVED = "15s; set_real_ip_from 127.0.0.0/8; real_ip_header X-Visitor;"
"""In place of addresses that this machine does not have, nginx counts those in a header."""


class Shown(Server):
    """A server as the documents start it."""

    def __init__(
        self, folder: Path, kind: str, application: str, database: str = "", **env: str
    ) -> None:
        super().__init__(folder, {**environment(database), **env}, kind, application)
        shown = KINDS[kind].read_text()
        [command] = re.findall(f"^ExecStart=.*/{kind} (.*) mysite.asgi:application$", shown, re.M)
        options = command.replace("%i", str(self.port)).split()
        self.command = [sys.executable, "-m", kind, *options, application]


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, make_shared_site: Factory) -> Site:
    settings = {**UNLIMITED, "TRUSTED_PROXIES": 1}
    return make_shared_site(servers=(request.param, request.param), settings=settings)


@pytest.fixture(params=KINDS)
def mirror(request: pytest.FixtureRequest, services: Services) -> Iterator[Server]:
    """A server that tells what reaches an application."""
    server = Shown(services.folder, request.param, f"{__name__}:reflect")
    server.start()
    yield server
    server.kill()


async def reflect(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send back the scope, as a page or as a frame."""
    if scope["type"] not in ("http", "websocket"):
        return
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    told = {"headers": headers, "root_path": scope.get("root_path", ""), "path": scope["path"]}
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(told)})
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


def ports_of(site: Site) -> list[int]:
    return [server.port for server in site.servers]


def test_nginx_finds_nothing_wrong(services: Services) -> None:
    """Not even something to warn of."""
    said = Nginx(services.folder, [8001, 8002], {}).test()
    assert "test is successful" in said
    assert "warn" not in said


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_people_chat_through_nginx(
    site: Site, start_nginx: StartNginx, encoding: str
) -> None:
    """Over TLS, at any of the processes; the address that the site sees is the client's own."""
    nginx = start_nginx(ports_of(site))
    async with (
        await nginx.client(encoding) as one,
        await nginx.client(address="127.0.0.8") as other,
    ):
        ids = [(await client.expect("welcome"))["connection"] for client in (one, other)]
        for client in (one, other):
            await client.join("general")
        ack = await one.say("general", f"é {encoding}", nonce="n")
        heard = await other.expect("message", content=f"é {encoding}")
        assert (heard["seq"], heard["id"]) == (ack["seq"], ack["id"])
        query = "SELECT id, address FROM realtime_connection"
        await eventually(lambda: {*ids} <= dict(site.database.rows(query)).keys())
        addresses = dict(site.database.rows(query))
        assert [addresses[one] for one in ids] == [CLIENT, "127.0.0.8"]


async def test_the_site_believes_no_address_that_a_client_claims(
    site: Site, start_nginx: StartNginx
) -> None:
    """With TRUSTED_PROXIES = 1 only the last entry counts, which nginx has written."""
    nginx = start_nginx(ports_of(site))
    async with await nginx.client(additional_headers=FORGED) as client:
        connection = (await client.expect("welcome"))["connection"]
        query = "SELECT address FROM realtime_connection WHERE id = %s"
        await eventually(lambda: site.database.rows(query, connection))
        assert site.database.rows(query, connection) == [(CLIENT,)]


async def test_what_a_client_claims_does_not_come_through(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """Neither with a handshake nor with a page; of the forwarded ones, ours come last."""
    nginx = start_nginx([mirror.port])
    socket = await nginx.connect(additional_headers=FORGED)
    told = json.loads(await socket.recv())
    await socket.close()
    _, page = await nginx.get("/somewhere", **FORGED)
    for seen, path in ((told, "/ws"), (json.loads(page), "/somewhere")):
        headers = dict(seen["headers"])
        assert len(headers) == len(seen["headers"])
        assert (seen["root_path"], seen["path"]) == ("", path)
        assert headers["x-forwarded-for"] == f"1.2.3.4, {CLIENT}"
        assert (headers["x-forwarded-proto"], headers["x-real-ip"]) == ("https", CLIENT)
        gone = {"daphne-root-path", "forwarded", "x-forwarded-host", "x-forwarded-port"}
        assert not gone & headers.keys()


async def test_only_the_package_s_own_address_is_upgraded(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """A handshake anywhere else is a page like others, which no limit for sockets applies to."""
    nginx = start_nginx([mirror.port])
    for path in ("/", "/wsx", "/chat/ws"):
        with pytest.raises(InvalidStatus) as refused:
            await nginx.connect(path)
        assert refused.value.response.status_code == 200
    for path in ("/ws", "/ws/", "/ws?token=x"):
        await (await nginx.connect(path)).close()


async def test_a_body_that_stops_or_is_too_large_reaches_no_process(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """Daphne would wait for its end, and write any size to a file."""
    nginx = start_nginx([mirror.port], bodies="1")
    head = "POST /realtime/http HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n"
    async with (
        asyncio.timeout(10),
        open_stream("127.0.0.1", nginx.port, ssl=nginx.trust) as (slow, to_slow),
        open_stream("127.0.0.1", nginx.port, ssl=nginx.trust) as (large, to_large),
    ):
        to_slow.write(head.format(10).encode() + b"half")
        to_large.write(head.format(1024 * 1024 + 1).encode())
        assert (await large.readline()).split()[1] == b"413"
        assert b"200" not in await slow.read()


async def test_who_drips_a_header_is_cut(mirror: Server, start_nginx: StartNginx) -> None:
    """However steadily it drips; and so is who says nothing at all."""
    nginx = start_nginx([mirror.port], headers="1")
    async with (
        asyncio.timeout(10),
        open_stream("127.0.0.1", nginx.port, ssl=nginx.trust) as (reader, writer),
        open_stream("127.0.0.1", nginx.port) as (silent, _),
    ):
        writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        end, drips = asyncio.ensure_future(reader.read()), 0
        while not end.done():
            drips += 1
            writer.write(b"X-A: b\r\n")
            await asyncio.wait([end], timeout=0.1)
        assert 5 < drips < 30
        assert b"101" not in await end
        assert await silent.read() == b""


def test_a_drip_is_cut_within_a_minute_as_it_stands() -> None:
    """And what is idle is held longer than two heartbeats."""
    [seconds] = re.findall(r"client_header_timeout (\d+)s;", CONFIGURATION)
    assert int(seconds) <= 60
    for name in ("read", "send"):
        [seconds] = re.findall(rf"proxy_{name}_timeout (\d+)s;", CONFIGURATION)
        assert int(seconds) > 2 * Config().heartbeat_seconds


async def test_too_many_sockets_of_an_address_are_refused(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """Before a server process hears of them; another address has its own."""
    nginx = start_nginx([mirror.port], sockets="3")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(await nginx.connect())
        with pytest.raises(InvalidStatus) as refused:
            await nginx.connect()
        assert refused.value.response.status_code == 429
        await (await nginx.connect(address="127.0.0.8")).close()
    await eventually_connects(nginx)


async def eventually_connects(nginx: Nginx) -> None:
    """Until nginx has noticed that others are gone."""
    async with asyncio.timeout(10):
        while True:
            try:
                await (await nginx.connect()).close()
            except InvalidStatus:
                await asyncio.sleep(0.05)
            else:
                return


async def test_too_many_handshakes_of_an_address_are_refused(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """A burst is let in, and pages go on."""
    nginx = start_nginx([mirror.port], handshakes="1", burst="2")
    for _ in range(3):
        await (await nginx.connect()).close()
    with pytest.raises(InvalidStatus) as refused:
        await nginx.connect()
    assert refused.value.response.status_code == 429
    assert (await nginx.get("/"))[0] == 200


async def test_a_client_has_one_allowance_for_all_its_ipv6_addresses(
    mirror: Server, start_nginx: StartNginx
) -> None:
    """A /64 is the least that a client gets, so it could always come from another address."""
    nginx = start_nginx([mirror.port], sockets="3", visitors=BELIEVED)

    async def come(address: str) -> Any:
        return await nginx.connect(additional_headers={"X-Visitor": address})

    sockets = [await come(f"2001:db8::a0a:{number}") for number in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        await come("2001:db8::ffff:ffff:ffff:ffff")
    assert refused.value.response.status_code == 429
    sockets += [await come(one) for one in ("2001:db8:0:1::1", "2001:db8:0:a0a::1", "192.0.2.1")]
    for socket in sockets:
        await socket.close()


async def test_styles_and_scripts_are_served_beside_the_processes(
    services: Services, start_nginx: StartNginx
) -> None:
    """Those of the admin, and the browser client as a type that browsers run."""
    nginx = start_nginx([free_port()])
    settings = {**environment(""), "DJANGO_SETTINGS_MODULE": "harness.settings"}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, str(nginx.folder / "staticfiles")],
        env=settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path, kind in (
        ("/static/admin/css/base.css", b"text/css"),
        ("/static/realtime/client.js", b"application/javascript"),
    ):
        status, head = await nginx.head(path)
        assert (status, kind in head) == (200, True), head


async def test_no_token_stands_in_a_log(mirror: Server, start_nginx: StartNginx) -> None:
    """Not when it is let in, not when it is refused, not when there is no server."""
    nginx = start_nginx([mirror.port], sockets="1")
    async with await nginx.connect("/ws?token=secret-of-mine"):
        with pytest.raises(InvalidStatus):
            await nginx.connect("/ws?token=secret-of-mine")
    mirror.kill()
    with pytest.raises(InvalidStatus) as refused:
        await nginx.connect("/ws?token=secret-of-mine", address="127.0.0.8")
    assert refused.value.response.status_code == 502
    log = nginx.folder / "realtime.log"
    await eventually(lambda: log.read_text().count("GET /ws") == 3)
    files = [path for path in nginx.folder.rglob("*") if path.is_file()]
    texts = [*(path.read_text() for path in files), nginx.log(), mirror.log()]
    assert not [text for text in texts if "secret-of-mine" in text]


async def test_a_page_without_tls_is_sent_to_the_one_with(
    services: Services, start_nginx: StartNginx
) -> None:
    """Nothing is served in the clear."""
    nginx = start_nginx([free_port()])
    async with open_stream("127.0.0.1", nginx.plain_port) as (reader, writer):
        writer.write(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 301")
    assert b"Location: https://127.0.0.1/a?b=c\r\n" in answer


async def test_health_is_nobody_else_s_business(site: Site, start_nginx: StartNginx) -> None:
    """This machine may ask."""
    nginx = start_nginx(ports_of(site))
    for path in ("/realtime/live/", "/realtime/ready/"):
        assert (await nginx.get(path, "127.0.0.1"))[0] == 200
        assert (await nginx.get(path, CLIENT))[0] == 403


async def test_a_rolling_restart_behind_nginx_loses_nothing(
    site: Site, start_nginx: StartNginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process after the other is restarted under traffic; clients only know nginx."""
    nginx = start_nginx(ports_of(site))
    monkeypatch.setenv("SSL_CERT_FILE", str(nginx.folder.parent / "tls.pem"))
    chatters = [Chatter(f"client {one}", [nginx.ws], ["room-1"]) for one in range(6)]
    async with AsyncExitStack() as stack:
        for chatter in chatters:
            await stack.enter_async_context(chatter)
        async with talking(chatters, 5):
            for server in site.servers:
                await some_acks(chatters)
                await stopped(server)
                await started(server)
            await some_acks(chatters)
        await settle(chatters, site.database)
        compare(chatters, site.database)
    assert all(chatter.ends for chatter in chatters)
    assert {end for chatter in chatters for end in chatter.ends} == {(4001, 4001)}


CROWD = 300
BACK_SECONDS = 15
"""By when all are back: a server tells its clients to wait for up to three seconds."""


class Visitor:
    """A client that stays connected, as the browser client does: it comes back when it is told."""

    def __init__(self, nginx: Nginx, number: int) -> None:
        self.nginx = nginx
        self.address = f"127.0.{1 + number // 200}.{1 + number % 200}"
        self.is_here = False
        self.refused: list[int] = []

    async def stay(self) -> None:
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            try:
                socket = await self.nginx.connect(address=self.address, open_timeout=30)
            except InvalidStatus as refused:
                self.refused.append(refused.response.status_code)
                wait = random.uniform(0.5, 1)
            except OSError:
                wait = random.uniform(0.5, 1)
            else:
                wait = await self._listen(socket)

    async def _listen(self, socket: Any) -> float:
        """Be there until the end, and return when to come back."""
        wait = 0.5
        try:
            async for frame in socket:
                told = json.loads(frame)
                self.is_here |= told["type"] == "welcome"
                wait = told.get("retry_after") or wait
        except ConnectionClosed:
            pass
        finally:
            self.is_here = False
            socket.transport.abort()
            await socket.wait_closed()
        return wait


async def test_hundreds_of_clients_are_back_soon_after_a_rolling_restart(
    site: Site, start_nginx: StartNginx
) -> None:
    """No page fails meanwhile, though all clients of a process come back at the same time."""
    nginx = start_nginx(ports_of(site))
    visitors = [Visitor(nginx, number) for number in range(CROWD)]
    pages: list[int] = []

    async def look() -> None:
        while True:
            pages.append((await nginx.get("/"))[0])
            await asyncio.sleep(0.1)

    async with stopping([look(), *(visitor.stay() for visitor in visitors)]):
        await eventually(lambda: all(visitor.is_here for visitor in visitors), 60)
        for server in site.servers:
            await stopped(server)
            await started(server)
        await eventually(lambda: all(visitor.is_here for visitor in visitors), BACK_SECONDS)
    assert set(pages) == {200}
    assert [visitor.refused for visitor in visitors if visitor.refused] == []


@asynccontextmanager
async def stopping(work: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Do all of it until the block ends."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_line_of_the_log_comes_once(services: Services, sites: Sites, kind: str) -> None:
    """With the settings of the page, under the servers of the page."""
    [snippet] = [one for one in re.findall(SNIPPET, PAGE.read_text(), re.DOTALL) if "LOG" in one]
    (services.folder / f"logged_{kind}.py").write_text(f"from harness.settings import *\n{snippet}")
    database = sites.database_url("sqlite")
    env = {"DJANGO_SETTINGS_MODULE": f"logged_{kind}", "PYTHONPATH": f"{services.folder}:{ROOT}"}
    server = Shown(services.folder, kind, "project.asgi:application", database, **env)
    server.start()
    async with await Client.connect(server.ws) as client:
        await client.expect("welcome")
        await client.send("join", room="nowhere")
        await client.expect("error")
    await eventually(lambda: "unknown_room" in server.log())
    assert server.log().count("unknown_room") == 1
    server.kill()


UNITS = {"one a port": ["realtime@.service"], "one socket": ["realtime.service", "realtime.socket"]}


@pytest.mark.parametrize("names", UNITS.values(), ids=UNITS)
def test_systemd_finds_nothing_wrong(tmp_path: Path, names: list[str]) -> None:
    """In the units, whose paths are made to exist."""
    analyze = shutil.which("systemd-analyze") or missing("systemd", "no systemd-analyze")
    (tmp_path / "manage.py").touch()
    units = []
    for name in names:
        text = (ROOT / "docs" / name).read_text()
        text = text.replace("/srv/realtime/.venv/bin", str(Path(sys.executable).parent))
        units.append(tmp_path / name.replace("@", "@8001"))
        units[-1].write_text(text.replace("/srv/realtime", str(tmp_path)))
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True)
    mine = [line for line in done.stderr.splitlines() if "realtime" in line]
    assert (mine, done.returncode) == ([], 0), done.stderr


@pytest.mark.parametrize("kind", KINDS)
async def test_the_commands_start_the_site(services: Services, sites: Sites, kind: str) -> None:
    """And it tells its clients when it is stopped, in the time that the unit gives it."""
    database = sites.database_url("sqlite")
    server = Shown(services.folder, kind, "project.asgi:application", database)
    server.start()
    async with await Client.connect(server.ws) as client:
        await client.expect("welcome")
        server.signal(signal.SIGTERM)
        assert await client.closed() == 4001
    assert server.wait(10) is not None
    server.show_log()


@pytest.mark.parametrize(
    "snippet",
    # What is left needs a request, and has a test of its own.
    [one for one in re.findall(SNIPPET, PAGE.read_text(), re.DOTALL) if "request." not in one],
)
def test_the_settings_compile(snippet: str) -> None:
    """And name only settings that there are."""
    found: dict[str, Any] = {}
    exec(compile(snippet, PAGE.name, "exec"), found)
    assert {name.lower() for name in found.get("REALTIME", {})} <= set(Config.__dataclass_fields__)


def test_every_link_leads_somewhere() -> None:
    """From the page to others."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
