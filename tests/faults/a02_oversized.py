"""Frames that are too large, or too small and too many: refused, and never kept."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.client import Client
from tests.faults.crowd import CONTINUATION, MB, TEXT, Memory, Raw, frame, head
from tests.faults.fault import Figures, Ground, fault

FRAME_BYTES = 64 * 1024
LIMIT = MB
"""What Daphne itself lets a message have. A frame beyond `FRAME_BYTES` is read so far all the same:
its sender is to get a typed error, and stay connected."""
ALLOWANCE = 4 * MB
"""What the process may take beside, for all sockets together."""
CHUNK = bytes(FRAME_BYTES)


@fault(
    "A2",
    "frames of 64 KiB + 1, 1 MiB + 1, 100 MiB, one that never ends, 10,000 one-byte fragments",
    must={"taken": 0, "memory of each, KiB": 2 * LIMIT / 1024, "servers dead": 0},
)
async def oversized(ground: Ground) -> Figures:
    """Twenty sockets (full: a hundred) do the same at once, then the next; the worst counts."""
    [server] = ground.make_site().servers
    number = ground.size(20, 100)
    taken, memory = 0, None
    for attack in ATTACKS:
        sockets = [await Raw.open(server.ws) for _ in range(number)]
        for one in sockets:
            one.send("join", room="general", ref=1)
            await one.expect("joined", ref=1)
        memory = memory or Memory(server)
        refused = await asyncio.gather(*(_is_refused(one, attack) for one in sockets))
        for one in sockets:
            one.drop()
        taken += refused.count(False)
    async with await Client.connect(server.ws) as newcomer:
        await newcomer.join("general")
    assert memory
    return {
        "taken": taken,
        "memory of each, KiB": max(0, memory.peak - ALLOWANCE) / number / 1024,
        "servers dead": not server.is_running(),
    }


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


ATTACKS: list[Callable[[Raw], Awaitable[None]]] = [
    _just_over,
    _over_a_mebibyte,
    _held_back,
    _hundred_mebibytes,
    _endless,
    _fragments,
]
