"""G7: the same nonce again: in one batch, from two processes, by a guest that reconnects."""

import asyncio
from urllib.parse import quote

from harness.client.chatter import Chatter
from harness.client.encoding import Object, encode
from harness.client.websocket import Client
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle


@fault(
    "G7",
    "one nonce twice in a batch, from two processes at once, and after a reconnect",
    must={
        "without an ack": 0,
        "acks that differ": 0,
        "stored twice": 0,
        "shown twice": 0,
        "taken for somebody else's": 0,
    },
)
async def nonces(ground: Ground) -> Figures:
    """Each is one message with one place; another guest's nonce is another nonce."""
    rounds = ground.size(10, 200)
    site = ground.make_site(servers=TWO)
    here, there = site.urls
    watchers = [Chatter(f"watcher {url}", [url], ["general"]) for url in site.urls]
    pairs: list[tuple[Object, Object]] = []
    async with inside(watchers), await Client.connect(here, "ndjson") as client:
        token = "?token=" + quote((await client.expect("welcome"))["guest_token"])
        await client.join("general")
        async with await Client.connect(there + token) as same:
            await same.join("general")
            for turn in range(rounds):
                pairs.append(await _in_one_batch(client, f"batch {turn}"))
                pairs.append(await _from_two_processes(client, same, f"two {turn}"))
                pairs.append(await _after_reconnect(here + token, there + token, f"again {turn}"))
            other_acks = await _by_another(there, rounds)
        await settle(watchers, site.database)
    contents = [row.content for row in site.database.messages("general")]
    shown = [content for watcher in watchers for content in watcher.contents("general")]
    answers = [ack for pair in pairs for ack in pair] + other_acks
    wanted = 4 * rounds
    return {
        "without an ack": sum(ack["type"] != "ack" for ack in answers),
        "acks that differ": sum(_place(one) != _place(other) for one, other in pairs),
        "stored twice": len(contents) - len(set(contents)),
        "shown twice": len(shown) - len(contents) * 2 + sum(len(one.faults) for one in watchers),
        "taken for somebody else's": wanted - len(set(contents)),
        "nonces": wanted,
    }


async def _in_one_batch(client: Client, nonce: str) -> tuple[Object, Object]:
    """Both in one frame, so that one commit has them."""
    refs = f"{nonce}, first", f"{nonce}, second"
    commands = [{"type": "message", **_message(nonce), "ref": ref} for ref in refs]
    await client.raw("\n".join(str(encode("ndjson", command)) for command in commands))
    return await _answer(client, refs[0]), await _answer(client, refs[1])


async def _from_two_processes(client: Client, same: Client, nonce: str) -> tuple[Object, Object]:
    first, second = await asyncio.gather(_say(client, nonce), _say(same, nonce))
    return first, second


async def _after_reconnect(here: str, there: str, nonce: str) -> tuple[Object, Object]:
    """Said on a line that is cut before the answer, then said twice at the other process."""
    gone = await Client.connect(here)
    await gone.join("general")
    await gone.send("message", **_message(nonce), ref=nonce)
    gone.socket.transport.abort()
    async with await Client.connect(there) as client:
        await client.join("general")
        return await _say(client, nonce), await _say(client, nonce)


async def _by_another(url: str, rounds: int) -> list[Object]:
    """A guest of its own says other things by the nonces that were used."""
    async with await Client.connect(url) as other:
        await other.join("general")
        return [
            await _say(other, f"two {turn}", content=f"by another {turn}") for turn in range(rounds)
        ]


async def _say(client: Client, nonce: str, content: str = "") -> Object:
    await client.send("message", **_message(nonce, content), ref=nonce)
    return await _answer(client, nonce)


async def _answer(client: Client, ref: str) -> Object:
    """What a command is answered with, be it an error."""
    while (item := await client.receive()).get("ref") != ref:
        pass
    return item


def _message(nonce: str, content: str = "") -> Object:
    return {"room": "general", "content": content or nonce, "nonce": nonce}


def _place(ack: Object) -> tuple[object, object]:
    return ack.get("seq"), ack.get("id")
