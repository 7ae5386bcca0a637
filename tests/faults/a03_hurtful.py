"""Input that hurts parsers, numbers and screens, all at a server at once."""

import msgspec

from harness.client.conversation import Closed
from harness.client.encoding import ENCODINGS
from harness.client.websocket import Client
from tests.e2e.test_input import HURTFUL, HURTFUL_MSGPACK, ODD
from tests.faults.fault import Figures, Ground, fault

TYPED = {"invalid_json", "invalid_message", "unknown_type", "too_large"}


@fault(
    "A3",
    "depth 200,000, 5,000-digit numbers, NaN, doubled keys, lone surrogates, NUL, 2^64, odd text",
    must={"refused untyped": 0, "connections lost": 0, "stored": 0, "odd text changed": 0},
)
async def hurtful(ground: Ground) -> Figures:
    """Each by a connection of its own, which must still answer; valid odd text comes back as is."""
    site = ground.make_site()
    [url] = site.urls
    outcomes = [await _send(url, "", frame) for frame in HURTFUL.values()]
    for data in HURTFUL_MSGPACK.values():
        command = {"type": "message", "room": "general", "content": "x", "data": data}
        outcomes.append(await _send(url, "msgpack", msgspec.msgpack.encode(command)))
    stored = site.database.count("message")
    changed = [await _changed(url, encoding) for encoding in ENCODINGS]
    return {
        "tried": len(outcomes),
        "refused untyped": outcomes.count("untyped"),
        "connections lost": outcomes.count("lost"),
        "stored": stored,
        "odd text changed": sum(changed),
    }


async def _send(url: str, encoding: str, frame: str | bytes) -> str:
    """What comes of a frame: "typed" is good."""
    async with await Client.connect(url, encoding) as client:
        await client.join("general")
        try:
            await client.raw(frame)
            error = await client.expect("error")
            await client.send("ping", t=1)
            await client.expect("pong", t=1)
        except Closed:
            return "lost"
        except TimeoutError:
            return "untyped"
    return "typed" if error["code"] in TYPED and not error["retryable"] else "untyped"


async def _changed(url: str, encoding: str) -> int:
    """How many texts came back as something else."""
    changed = 0
    async with await Client.connect(url, encoding) as client:
        await client.join("room-1", history=0)
        for text in ODD:
            await client.send("message", room="room-1", content=text, data={text: text})
            message = await client.expect("message")
            changed += (message["content"], message["data"]) != (text, {text: text})
    return changed
