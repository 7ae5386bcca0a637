"""A client that never reads: nobody waits for it, and it is cut."""

import asyncio
import select
import socket
import time
from contextlib import AsyncExitStack, closing

import pytest

from harness.client.encoding import ENCODINGS, encode
from harness.client.frames import frame, upgrade
from harness.client.websocket import Client
from harness.site import Factory, Server
from harness.waiting import eventually

BULK = "\N{GRINNING FACE}" * 3_990  # 16 KB: a kernel buffers megabytes before anybody notices


class SilentSocket:
    """Shakes hands, joins a room, and never reads again; its buffer is as small as can be."""

    def __init__(self, server: Server, room: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(15)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(upgrade(server.ws))
        self._read_to(b"\r\n\r\n")
        self.socket.sendall(frame(encode("json", {"type": "join", "room": room})))
        self._read_to(b'"through"')
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLRDHUP | select.POLLHUP | select.POLLERR)

    def is_cut(self) -> bool:
        """Whether the server has ended the connection, told without reading from it."""
        return bool(self.poll.poll(0))

    def close(self) -> None:
        self.socket.close()

    def _read_to(self, end: bytes) -> None:
        got = b""
        while end not in got:
            data = self.socket.recv(4096)
            assert data, f"closed after {got!r}"
            got += data


@pytest.mark.parametrize("kind", ["daphne", "uvicorn", "uvloop"])
async def test_a_client_that_never_reads_delays_nobody_and_is_cut_within_ten_seconds(
    make_site: Factory, kind: str
) -> None:
    """A busy room with three good readers and one that never reads."""
    site = make_site(servers=(kind,))
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(await Client.connect(site.urls[0]))
        await sender.join("general")
        readers = [Reader(await Client.connect(site.urls[0], encoding)) for encoding in ENCODINGS]
        for reader in readers:
            await stack.enter_async_context(reader.client)
            await reader.client.join("general")
        silent = stack.enter_context(closing(SilentSocket(site.servers[0], "general")))
        for reader in readers:
            stack.callback(asyncio.create_task(reader.watch()).cancel)
        sent, cut_after = await _send_until_cut(sender, silent)
        assert cut_after < 10
        await eventually(
            lambda: all(len(reader.arrived) == len(sent) and reader.saw_left for reader in readers)
        )
        for reader in readers:
            assert max(reader.arrived[number] - at for number, at in enumerate(sent)) < 2


class Reader:
    """Notes when each numbered message arrived, and whether anybody left."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.arrived: dict[int, float] = {}
        self.saw_left = False

    async def watch(self) -> None:
        while True:
            item = await self.client.receive(60)
            if item["type"] == "message":
                self.arrived[int(item["content"].strip(BULK[0]))] = time.monotonic()
            self.saw_left |= item["type"] == "left"


async def _send_until_cut(sender: Client, silent: SilentSocket) -> tuple[list[float], float]:
    """Send up to 100 messages a second; returns the time of each, and the seconds until the cut."""
    started = time.monotonic()
    sent: list[float] = []
    while not silent.is_cut() and time.monotonic() < started + 15:
        content = f"{len(sent)}{BULK}"
        sent.append(time.monotonic())
        await sender.send("message", room="general", content=content)
        await asyncio.sleep(0.01)
    return sent, time.monotonic() - started
