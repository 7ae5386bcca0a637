"""Frames that are too large, or too small and too many: refused, and never kept."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable

from harness.client.frames import CONTINUATION, PING, TEXT, frame, head
from harness.client.raw import Raw
from harness.client.websocket import Client
from harness.site import Server
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import MB, Memory

FRAME_BYTES = 64 * 1024
ALLOWANCE = 8 * MB
"""What the process may take beside, for all sockets together."""
CHUNK = bytes(FRAME_BYTES)
UNFINISHED_SECONDS = 25
SERVERS = ("daphne", "uvicorn")


@fault(
    "A2",
    "frames of 64 KiB + 1, 1 MiB + 1 and 100 MiB; 10,000 one-byte fragments; frames and messages"
    " that never end (Daphne, uvicorn)",
    must={
        "taken": 0,
        "memory of each, KiB": 512,
        f"unfinished after {UNFINISHED_SECONDS} s": 0,
        "servers dead": 0,
    },
)
async def oversized(ground: Ground) -> Figures:
    """Twenty sockets (full: a hundred) do the same at once, then the next; the worst counts."""
    site = ground.make_site(servers=SERVERS)
    number = ground.size(20, 100)
    turn = asyncio.Lock()
    of_each = await asyncio.gather(*(_attacked(one, number, turn) for one in site.servers))
    return {
        "taken": sum(one["taken"] for one in of_each),
        "memory of each, KiB": max(one["memory"] for one in of_each),
        f"unfinished after {UNFINISHED_SECONDS} s": sum(one["unfinished"] for one in of_each),
        "servers dead": sum(not server.is_running() for server in site.servers),
    }


async def _attacked(server: Server, number: int, turn: asyncio.Lock) -> Figures:
    """Attack one server at a time; the end of unfinished messages is waited for at both."""
    taken, memory = 0, None
    async with turn:
        for attack in ATTACKS:
            sockets = await _joined(server, number)
            memory = memory or Memory(server)
            refused = await asyncio.gather(*(_is_refused(one, attack) for one in sockets))
            taken += refused.count(False)
            for one in sockets:
                one.drop()
    sockets = await _joined(server, number)
    unfinished = await asyncio.gather(*map(_stays, sockets, itertools.cycle(UNFINISHED)))
    for one in sockets:
        one.drop()
    async with await Client.connect(server.ws) as newcomer:
        await newcomer.join("general")
    assert memory
    of_each = max(0, memory.peak - ALLOWANCE) / number / 1024
    return {"taken": taken, "memory": of_each, "unfinished": sum(unfinished)}


async def _joined(server: Server, number: int) -> list[Raw]:
    sockets = [await Raw.open(server.ws) for _ in range(number)]
    for one in sockets:
        await one.send("join", room="general", ref=1)
        await one.expect("joined", ref=1)
    return sockets


async def _stays(raw: Raw, begun: bytes) -> bool:
    """Whether it is still open though it never finishes what it has begun, and answers pings."""
    raw.writer.write(begun)
    pinging = asyncio.create_task(_ping(raw))
    try:
        await raw.closed(UNFINISHED_SECONDS)
    except TimeoutError:
        return True
    finally:
        pinging.cancel()
    return False


async def _ping(raw: Raw) -> None:
    while True:
        await asyncio.sleep(1)
        raw.write(b"", PING)


async def _is_refused(raw: Raw, attack: Callable[[Raw], Awaitable[None]]) -> bool:
    """Whether it is answered with `too_large`, or dropped."""
    try:
        async with asyncio.timeout(60):
            await attack(raw)
            await raw.writer.drain()
            return (await raw.expect("error"))["code"] == "too_large"
    except (EOFError, OSError) as error:
        return not isinstance(error, TimeoutError)


async def _just_over(raw: Raw) -> None:
    raw.write(_command(FRAME_BYTES + 1))


async def _over_a_mebibyte(raw: Raw) -> None:
    raw.write(_command(MB + 1))


async def _held_back(raw: Raw) -> None:
    """All of a mebibyte but its last byte, which comes when everybody has sent so much."""
    text = frame(_command(MB))
    raw.writer.write(text[:-1])
    await raw.writer.drain()
    await asyncio.sleep(2)
    raw.writer.write(text[-1:])


async def _hundred_mebibytes(raw: Raw) -> None:
    raw.writer.write(head(100 * MB))
    await _stream(raw, CHUNK)


async def _endless(raw: Raw) -> None:
    raw.writer.write(frame(CHUNK, TEXT, is_last=False))
    await _stream(raw, frame(CHUNK, CONTINUATION, is_last=False))


async def _stream(raw: Raw, piece: bytes) -> None:
    for _ in range(100 * MB // len(CHUNK)):
        raw.writer.write(piece)
        await raw.writer.drain()


async def _fragments(raw: Raw) -> None:
    """A text of 10,000 bytes, each in a frame of its own."""
    data = _command(10_000).encode()
    for place in range(len(data)):
        opcode = CONTINUATION if place else TEXT
        raw.write(data[place : place + 1], opcode, is_last=place + 1 == len(data))


def _command(size: int) -> str:
    """A message that takes so many bytes."""
    fields = {"type": "message", "room": "general", "content": ""}
    return json.dumps(fields | {"content": "x" * (size - len(json.dumps(fields)))})


UNFINISHED = [
    frame(CHUNK, TEXT, is_last=False),
    frame(b"x", TEXT, is_last=False) + frame(CHUNK[:-2], CONTINUATION, is_last=False),
    head(FRAME_BYTES) + CHUNK[:-1],
    head(FRAME_BYTES),
    head(FRAME_BYTES + 1) + CHUNK,
    head(FRAME_BYTES)[:3],
]
"""Messages without an end: a fragment, two, all but a byte of a frame, its head, half of that."""
ATTACKS: list[Callable[[Raw], Awaitable[None]]] = [
    _just_over,
    _over_a_mebibyte,
    _held_back,
    _hundred_mebibytes,
    _endless,
    _fragments,
]
