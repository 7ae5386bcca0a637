"""G6: messages are edited and deleted while a client is away; in topics, values are.

The package has no function yet that edits a message; what one would write is written by SQL, and
the servers find it by their pulse.
"""

import asyncio
from typing import Any

from harness.client.chatter import Chatter
from harness.client.encoding import Object
from harness.client.topic_chatter import TOPIC, NoteChatter
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle
from tests.proxy import Proxy

MESSAGES = 10
ROOM = "general"


class _Messages:
    """Messages of a room, which are edited and deleted by SQL."""

    client: type[Chatter] = Chatter
    log = ROOM
    states = """
        SELECT m.id, m.seq, m.changed_seq, m.deleted_at IS NOT NULL,
            CASE WHEN m.deleted_at IS NULL THEN m.content ELSE '' END
        FROM realtime_message m JOIN realtime_room r ON r.id = m.room_id WHERE r.slug = %s
    """
    _change = """
        WITH head AS (
            UPDATE realtime_head h SET last_seq = last_seq + 1
            FROM realtime_message m WHERE m.id = %s AND h.room_id = m.room_id
            RETURNING m.id, h.last_seq
        )
        UPDATE realtime_message m SET changed_seq = head.last_seq, {}
        FROM head WHERE m.id = head.id
    """

    def __init__(self, site: Site) -> None:
        self.database = site.database
        self.url = site.urls[0]

    async def edit(self, key: Any, content: str) -> None:
        query = self._change.format("content = %s, edited_at = now()")
        self.database.execute(query, key, content)

    async def delete(self, key: Any) -> None:
        # Whoever reads it must leave the text out.
        self.database.execute(self._change.format("deleted_at = now()"), key)

    def stored(self) -> set[tuple[Any, ...]]:
        """Return the latest state of everything."""
        return set(self.database.rows(self.states, self.log))

    def shown(self, message: Object) -> tuple[Any, ...]:
        """Return the state that a client shows."""
        changed = message.get("changed_seq") or message["seq"]
        return message["id"], message["seq"], changed, *_text(message)


class _Values(_Messages):
    """Values of a topic, which are changed by its commands."""

    client = NoteChatter
    log = TOPIC + ROOM
    states = """
        SELECT e.key, e.changed_seq, e.is_deleted,
            CASE WHEN e.is_deleted THEN '' ELSE e.data::json ->> 'content' END
        FROM realtime_entry e JOIN realtime_head h ON h.id = e.log_id WHERE h.name = %s
    """

    async def edit(self, key: Any, content: str) -> None:
        await self._call("note", key=key, content=content)

    async def delete(self, key: Any) -> None:
        await self._call("erase", key=key)

    def shown(self, message: Object) -> tuple[Any, ...]:
        return message["id"], message["seq"], *_text(message)

    async def _call(self, command: str, **fields: Any) -> None:
        async with await Client.connect(self.url) as client:
            await client.call(self.log, command, **fields)


def _text(message: Object) -> tuple[bool, str]:
    return bool(message.get("deleted")), message.get("content") or ""


@fault(
    "G6",
    "edits and deletes while one client is away",
    must={
        "not the latest state": 0,
        "out of order or again": 0,
        "deleted text shown": 0,
        "not resumed": 0,
    },
    in_topics=True,
)
async def changed(ground: Ground) -> Figures:
    """Who stayed and who comes back have the latest state of everything, told once."""
    rounds = ground.size(2, 20)
    site = ground.make_site(servers=TWO, settings={**UNLIMITED, "PULSE_SECONDS": 1})
    kind = (_Values if ground.in_topics else _Messages)(site)
    async with (
        Proxy(site.servers[0].port) as line,
        inside(_clients(kind, site, line)) as [away, *online],
    ):
        for turn in range(rounds):
            keys = await _say([away, *online], f"secret {turn}", site)
            line.cut()
            await _change(kind, keys)
            await _say(online, f"said meanwhile {turn}", site)
            line.restore()
            await settle([away, *online], site.database)
        await away.until(lambda: away.is_inside)
    wrong = leaked = 0
    for chatter in (away, *online):
        shown = list(chatter.known[ROOM].messages.values())
        wrong += len(set(map(kind.shown, shown)) ^ kind.stored())
        leaked += sum(bool(one.get("deleted") and one.get("content")) for one in shown)
    return {
        "not the latest state": wrong,
        "out of order or again": sum(len(one.faults) for one in (away, *online)),
        "deleted text shown": leaked,
        "not resumed": away.refills + int(len(away.resumed) != rounds),
    }


def _clients(kind: _Messages, site: Site, line: Proxy) -> list[Chatter]:
    """The first of them comes by way of the line."""
    urls = [f"ws://127.0.0.1:{line.port}/ws", *site.urls]
    return [kind.client(f"client {one}", [url], [ROOM]) for one, url in enumerate(urls)]


async def _say(chatters: list[Chatter], what: str, site: Site) -> list[Any]:
    """Return the keys of what was said."""
    said = (chatters[turn % 2].say(ROOM, f"{what} {turn}") for turn in range(MESSAGES))
    acks = await asyncio.wait_for(asyncio.gather(*said), 30)
    await settle(chatters, site.database)
    return [ack["id"] for ack in acks]


async def _change(kind: _Messages, keys: list[Any]) -> None:
    """Edit one message twice, another once; delete one, and one that was edited."""
    await kind.edit(keys[0], "edited")
    await kind.edit(keys[0], "edited again")
    await kind.edit(keys[1], "edited")
    await kind.delete(keys[2])
    await kind.edit(keys[3], "edited")
    await kind.delete(keys[3])
