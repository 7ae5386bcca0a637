"""G7: the same nonce again: in one batch, from two processes, by a guest that reconnects."""

import asyncio
from urllib.parse import quote

from harness.client.encoding import Object, encode
from harness.client.topic_chatter import TOPIC, nonce_of
from harness.client.websocket import Client
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle

ROOM = "general"


class _InRoom:
    """How a client speaks in a room, and learns the place of what it said."""

    async def enter(self, client: Client) -> None:
        await client.join(ROOM)

    def command(self, nonce: str, content: str) -> Object:
        return {"type": "message", "room": ROOM, "content": content, "nonce": nonce}

    async def place(self, client: Client, reply: Object, content: str) -> object:
        """Return where it is, or None if the reply does not acknowledge it."""
        return (reply["seq"], reply["id"]) if reply["type"] == "ack" else None


class _InTopic(_InRoom):
    """The same in a topic: the place is that of the event with the nonce and the content."""

    async def enter(self, client: Client) -> None:
        await client.subscribe(TOPIC + ROOM, history=100)

    def command(self, nonce: str, content: str) -> Object:
        data = {"content": content, "nonce": nonce}
        return {"type": "call", "topic": TOPIC + ROOM, "name": "say", "data": data}

    async def place(self, client: Client, reply: Object, content: str) -> object:
        if reply["type"] != "result":
            return None
        while not (found := _events(client, content)):
            await client.receive()
        return found[-1]["seq"], nonce_of(found[-1])


def _events(client: Client, content: str) -> list[Object]:
    pages = [item.get("entries", []) for item in client.seen]
    entries = [entry for page in pages for entry in page]
    return [one for one in client.seen + entries if one.get("data", {}).get("content") == content]


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
    in_topics=True,
)
async def nonces(ground: Ground) -> Figures:
    """Each is one message with one place; another guest's nonce is another nonce."""
    rounds = ground.size(10, 200)
    site = ground.make_site(servers=TWO)
    speech = _Speech(_InTopic() if ground.in_topics else _InRoom())
    here, there = site.urls
    watchers = [site.client(f"watcher {url}", [url], [ROOM]) for url in site.urls]
    pairs: list[tuple[object, object]] = []
    async with inside(watchers), await Client.connect(here, "ndjson") as client:
        token = "?token=" + quote((await client.expect("welcome"))["guest_token"])
        await speech.kind.enter(client)
        async with await speech.inside(there + token) as same:
            for turn in range(rounds):
                pairs.append(await speech.in_one_batch(client, f"batch {turn}"))
                pairs.append(await speech.from_two_processes(client, same, f"two {turn}"))
                pairs.append(
                    await speech.after_reconnect(here + token, there + token, f"again {turn}")
                )
            others = await speech.by_another(there, rounds)
        await settle(watchers, site.database)
    contents = [row.content for row in site.database.messages(ROOM)]
    shown = [content for watcher in watchers for content in watcher.contents(ROOM)]
    places = [place for pair in pairs for place in pair] + others
    wanted = 4 * rounds
    return {
        "without an ack": places.count(None),
        "acks that differ": sum(one != other for one, other in pairs),
        "stored twice": len(contents) - len(set(contents)),
        "shown twice": len(shown) - len(contents) * 2 + sum(len(one.faults) for one in watchers),
        "taken for somebody else's": wanted - len(set(contents)),
        "nonces": wanted,
    }


class _Speech:
    """Ways to say something twice; each returns both places."""

    def __init__(self, kind: _InRoom) -> None:
        self.kind = kind

    async def inside(self, url: str) -> Client:
        client = await Client.connect(url)
        await self.kind.enter(client)
        return client

    async def in_one_batch(self, client: Client, nonce: str) -> tuple[object, object]:
        """Both in one frame, so that one commit has them."""
        refs = f"{nonce}, first", f"{nonce}, second"
        commands = [{**self.kind.command(nonce, nonce), "ref": ref} for ref in refs]
        await client.raw("\n".join(str(encode("ndjson", command)) for command in commands))
        return await self._place(client, refs[0], nonce), await self._place(client, refs[1], nonce)

    async def from_two_processes(
        self, client: Client, same: Client, nonce: str
    ) -> tuple[object, object]:
        return await asyncio.gather(self._say(client, nonce), self._say(same, nonce))

    async def after_reconnect(self, here: str, there: str, nonce: str) -> tuple[object, object]:
        """Said on a line that is cut before the answer, then said twice at the other process."""
        gone = await self.inside(here)
        await self._send(gone, nonce, nonce)
        gone.socket.transport.abort()
        async with await self.inside(there) as client:
            return await self._say(client, nonce), await self._say(client, nonce)

    async def by_another(self, url: str, rounds: int) -> list[object]:
        """A guest of its own says other things by the nonces that were used."""
        async with await self.inside(url) as other:
            return [
                await self._say(other, f"two {turn}", f"by another {turn}")
                for turn in range(rounds)
            ]

    async def _say(self, client: Client, nonce: str, content: str = "") -> object:
        content = content or nonce
        await self._send(client, nonce, content)
        return await self._place(client, nonce, content)

    async def _send(self, client: Client, nonce: str, content: str) -> None:
        command = {**self.kind.command(nonce, content), "ref": nonce}
        await client.raw(encode(client.encoding, command))

    async def _place(self, client: Client, ref: str, content: str) -> object:
        """Wait for the reply to a command, be it an error."""
        while (reply := await client.receive()).get("ref") != ref:
            pass
        return await self.kind.place(client, reply, content)
