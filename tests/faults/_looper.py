"""Loads that one client makes, in a process of its own; orders come by its standard input.

An order is a line of JSON: `{"load", "url", "headers", "seconds", "clients"}`. It is answered by
a line with the number of frames that were sent. The first line says that the process is ready.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle
from typing import Any

from harness.client.encoding import encode, subprotocol
from harness.client.frames import BINARY, CLOSE, TEXT, frame
from harness.client.raw import Raw, Refused

__all__ = ["COMMANDS", "FLOOD", "FRAMES"]

FRAME_BYTES = 64 * 1024


def _filled(*parts: Any) -> list[Any]:
    """Frames that hold nothing but one of these each."""
    return [part * (FRAME_BYTES // len(part)) for part in parts]


FRAMES: dict[str, tuple[str, list[str | bytes]]] = {
    "tiny objects as MessagePack": (
        "msgpack",
        _filled(b"\x80", b"\x01", b"\x81\xa4type\xa1x", b"\x81\xa4type\xa4pong"),
    ),
    "tiny objects as NDJSON": (
        "ndjson",
        _filled("{}\n", "1\n", '{"type":"x"}\n', '{"type":"pong"}\n'),
    ),
    "one object of 60,000 as MessagePack": (
        "msgpack",
        [b"\x82\xa4type\xa4ping\xa1x\xdd\0\0\xea\x60" + b"\x80" * 60_000],
    ),
    "one object of 21,000 as JSON": (
        "json",
        [
            '{"type":"ping","x\\n":[' + ",".join(["{}"] * 21_000) + "]}",
            '{"type":"signal","room":"r","data":{"x":[' + ",".join(["[]"] * 21_000) + "]}}",
            '{"type":"ping","x":{' + ",".join(f'"k{number}":1' for number in range(6000)) + "}}",
        ],
    ),
}
"""Frames that take long to decode or to look at, by a name: the encoding, and what is sent."""
UNKNOWN = [{"room": f"none-{number}"} for number in range(100)]
PAGE = {"type": "history", "room": "general", "limit": 100}
LEAVE = {"type": "leave", "room": "general"}
COMMANDS: dict[str, list[dict[str, Any]]] = {
    "history": [PAGE, {**PAGE, "before": 900}, {**PAGE, "after": 0}],
    "joins of unknown rooms": [{"type": "joins", "rooms": UNKNOWN}],
    "join with history": [{"type": "join", "room": "general", "history": 100}],
    "join and leave": [LEAVE, {"type": "join", "room": "general", "history": 100}],
    "presence": [{"type": "presence", "room": "general"}],
    "names": [LEAVE, *({"type": "auth", "name": f"Name {number}"} for number in range(1000))],
    "read": [{"type": "read", "room": "general", "seq": number} for number in range(1, 1000)],
    "configure": [
        {"type": "configure", "room": "general", "title": f"title {number}"} for number in (1, 2)
    ],
    "pings": [{"type": "ping"}],
}
"""Costly commands that a client may send, by a name; they are sent in turn."""
FLOOD = "pings in bulk"
"""A load that waits for no reply: as many as a chunk takes, from one socket after another."""
BULK = 500
WINDOW = 20
"""How many replies a client waits for at once."""
AGAIN_SECONDS = 0.1
"""How long a client stays away that was closed, or has used up its allowance."""


async def _send_frames(order: dict[str, Any], end: float) -> int:
    """Send frames without a pause until `end`, and come back when closed."""
    encoding, frames = FRAMES[order["load"]]
    headers = {"Sec-WebSocket-Protocol": subprotocol(encoding)}
    payloads, sent = cycle(frames), 0
    while time.monotonic() < end:
        raw = await _open(order, headers)
        if raw is None:
            continue
        reading = asyncio.create_task(_read_on(raw))
        while time.monotonic() < end and not reading.done():
            payload = next(payloads)
            raw.write(payload, TEXT if isinstance(payload, str) else BINARY)
            sent += 1
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(raw.writer.drain(), max(0.0, end - time.monotonic()))
            await asyncio.sleep(0)
        reading.cancel()
        raw.drop()
    return sent


async def _read_on(raw: Raw) -> None:
    with suppress(EOFError, OSError):
        while (await raw.read_frame())[0] != CLOSE:
            pass


async def _send_bulk(order: dict[str, Any], end: float) -> int:
    """Send a bulk of commands at once, and again from another socket as soon as it is closed."""
    sent = 0
    while time.monotonic() < end:
        raw = await _open(order, {})
        if raw is None:
            continue
        raw.writer.write(frame('{"type":"ping"}') * BULK)
        sent += BULK
        with suppress(TimeoutError):
            await asyncio.wait_for(_read_on(raw), max(0.0, min(0.3, end - time.monotonic())))
        raw.drop()
    return sent


async def _send_commands(order: dict[str, Any], end: float) -> int:
    """Send commands as often as is allowed until `end`, and come back when closed."""
    commands, sent = cycle(COMMANDS[order["load"]]), 0
    while time.monotonic() < end:
        raw = await _open(order, {})
        if raw is None:
            continue
        with suppress(EOFError, OSError, TimeoutError):
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + end - time.monotonic()
            ):
                await raw.send("join", room="general", history=0)
                await raw.expect("joined")
                while True:
                    some = [next(commands) for _ in range(WINDOW)]
                    for number, command in enumerate(some):
                        await raw.raw(encode("json", {**command, "ref": number}))
                    sent += len(some)
                    await asyncio.sleep(await _answered(raw, len(some) - 1))
        raw.drop()
    return sent


async def _answered(raw: Raw, last: int) -> float:
    """Wait for the last reply; return the longest wait that any of them asked for."""
    wait = 0.0
    while True:
        opcode, _ = await raw.read_frame()
        if opcode == CLOSE:
            raise EOFError
        if opcode == TEXT:
            item = raw.seen.pop()
            wait = max(wait, item.get("retry_after") or 0.0)
            if item.get("ref") == last:
                return wait


async def _open(order: dict[str, Any], more: Mapping[str, str]) -> Raw | None:
    try:
        return await Raw.open(order["url"], {**order["headers"], **more})
    except (Refused, OSError):
        await asyncio.sleep(AGAIN_SECONDS)
        return None


async def _obey(order: dict[str, Any]) -> int:
    send = _send_frames if order["load"] in FRAMES else _send_commands
    if order["load"] == FLOOD:
        send = _send_bulk
    end = time.monotonic() + order["seconds"]
    return sum(await asyncio.gather(*(send(order, end) for _ in range(order["clients"]))))


if __name__ == "__main__":
    os.nice(19)  # others must feel the server's work, not that of this process
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{asyncio.run(_obey(json.loads(line)))}\n")
        sys.stdout.flush()
