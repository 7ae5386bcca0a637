"""Bytes written past the server: on each that is known."""

import asyncio
import ssl
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from harness.client.encoding import ENCODINGS
from harness.client.websocket import Client
from harness.services import Process, Services, answers, free_port
from harness.site import ROOT, Factory, Server, Site, environment

SERVERS = ["daphne", "uvicorn", "uvloop"]
SIZES = [1, 60, 200, 4000]


@pytest.fixture(scope="module")
def site(make_shared_site: Factory) -> Site:
    return make_shared_site(servers=tuple(SERVERS))


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_installed_servers_are_known(services: Services, kind: str) -> None:
    """A release that is built otherwise would cost most of the speed, and nothing else."""
    server = Server(services.folder, environment(""), kind, "tests.e2e.bare:application")
    server.start()
    try:
        async with connect(server.ws, compression=None, proxy=None) as socket:
            assert await socket.recv() == "known"
            assert await socket.recv() == "past"
    finally:
        server.kill()


async def test_nothing_goes_past_encryption(services: Services) -> None:
    """Daphne's own TLS: what looks like its socket from outside is not what encrypts."""
    port, certificate = free_port(), make_certificate(services.folder)
    endpoint = f"ssl:{port}:privateKey={certificate}:certKey={certificate}:interface=127.0.0.1"
    command = [sys.executable, "-m", "daphne", "-e", endpoint, "tests.e2e.bare:application"]
    log = services.folder / f"tls-{port}.log"
    server = Process(command, log, cwd=ROOT, env=environment(""))
    server.spawn()
    server.wait_ready(lambda: answers(port))
    context = ssl.create_default_context(cafile=certificate)
    try:
        async with connect(f"wss://127.0.0.1:{port}/", ssl=context, proxy=None) as socket:
            assert [await socket.recv(), await socket.recv()] == ["known", "past"]
    finally:
        server.kill()


def make_certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it has signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    file = folder / "tls.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(pem)
    )
    return file


@pytest.mark.parametrize("number", range(len(SERVERS)), ids=SERVERS)
async def test_a_client_that_would_compress_gets_what_others_get(site: Site, number: int) -> None:
    """Nobody agrees to that; each encoding, with frames of every length."""
    url = site.urls[number]
    clients = [
        await Client.connect(url, encoding, compression=compression)
        for encoding in ENCODINGS
        for compression in (None, "deflate")
    ]
    for client in clients:
        await client.join("general")
    async with await Client.connect(url) as sender:
        await sender.join("general")
        for size in SIZES:
            await sender.say("general", "é" * size)
    seen = []
    for client in clients:
        got = [await client.expect("message") for _ in SIZES]
        seen.append([(one["seq"], one["content"]) for one in got])
    assert [len(content) for _, content in seen[0]] == SIZES
    assert all(one == seen[0] for one in seen)
    await asyncio.gather(*(client.close() for client in clients))
