"""G6: messages are edited and deleted while a client is away.

The package has no function for either yet; what one would write is written by SQL, and the
servers find it by their pulse.
"""

import asyncio
from typing import Any

from harness.client.chatter import Chatter
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, inside, settle
from tests.proxy import Proxy

MESSAGES = 10
CHANGE = """
    WITH head AS (
        UPDATE realtime_head h SET last_seq = last_seq + 1
        FROM realtime_room r WHERE r.id = h.room_id AND r.slug = 'general'
        RETURNING h.room_id, h.last_seq
    )
    UPDATE realtime_message m SET changed_seq = head.last_seq, {}
    FROM head WHERE m.room_id = head.room_id AND m.seq = %s
"""
EDIT = CHANGE.format("content = %s, edited_at = now()")
DELETE = CHANGE.format("deleted_at = now()")  # whoever reads it must leave the text out
STATES = """
    SELECT m.id, m.seq, m.changed_seq, m.deleted_at IS NOT NULL,
        CASE WHEN m.deleted_at IS NULL THEN m.content ELSE '' END
    FROM realtime_message m JOIN realtime_room r ON r.id = m.room_id WHERE r.slug = 'general'
"""


@fault(
    "G6",
    "edits and deletes while one client is away",
    must={
        "not the latest state": 0,
        "out of order or again": 0,
        "deleted text shown": 0,
        "not resumed": 0,
    },
)
async def changed(ground: Ground) -> Figures:
    """Who stayed and who comes back have the latest state of everything, told once."""
    rounds = ground.size(2, 20)
    site = ground.make_site(servers=TWO, settings={**UNLIMITED, "PULSE_SECONDS": 1})
    async with (
        Proxy(site.servers[0].port) as line,
        inside(_clients(site, line)) as [away, *online],
    ):
        for turn in range(rounds):
            first = site.database.last_seq("general") + 1
            await _say([away, *online], f"secret {turn}", site)
            line.cut()
            _change(site, first)
            await _say(online, f"said meanwhile {turn}", site)
            line.restore()
            await settle([away, *online], site.database)
        await away.until(lambda: away.is_inside)
    wrong = leaked = 0
    for chatter in (away, *online):
        shown = list(chatter.known["general"].messages.values())
        wrong += len(set(map(_shown, shown)) ^ set(site.database.rows(STATES)))
        leaked += sum(bool(one.get("deleted") and one.get("content")) for one in shown)
    return {
        "not the latest state": wrong,
        "out of order or again": sum(len(one.faults) for one in (away, *online)),
        "deleted text shown": leaked,
        "not resumed": away.refills + int(len(away.resumed) != rounds),
    }


def _clients(site: Site, line: Proxy) -> list[Chatter]:
    """The first of them comes by way of the line."""
    urls = [f"ws://127.0.0.1:{line.port}/ws", *site.urls]
    return [Chatter(f"client {one}", [url], ["general"]) for one, url in enumerate(urls)]


async def _say(chatters: list[Chatter], what: str, site: Site) -> None:
    said = (chatters[turn % 2].say("general", f"{what} {turn}") for turn in range(MESSAGES))
    await asyncio.wait_for(asyncio.gather(*said), 30)
    await settle(chatters, site.database)


def _change(site: Site, first: int) -> None:
    """Edit one message twice, another once; delete one, and one that was edited."""
    for query, values in (
        (EDIT, ["edited", first]),
        (EDIT, ["edited again", first]),
        (EDIT, ["edited", first + 1]),
        (DELETE, [first + 2]),
        (EDIT, ["edited", first + 3]),
        (DELETE, [first + 3]),
    ):
        with site.database.connect() as connection:
            connection.execute(query.encode(), values)


def _shown(message: dict[str, Any]) -> tuple[int, int, int, bool, str]:
    return (
        message["id"],
        message["seq"],
        message.get("changed_seq") or message["seq"],
        bool(message.get("deleted")),
        message.get("content") or "",
    )
