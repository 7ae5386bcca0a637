"""All clients of a killed server come back to another one at once."""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack

from benchmarks.runner import SESSIONS
from harness.client.raw import Raw, Refused
from harness.client.websocket import Client
from harness.site import ROOMS, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import allow_many_files, look, seconds_until, start_inside

MISSED = 20
"""Messages of each room while all are away."""
WAIT_SECONDS = 60


class Returner:
    """Somebody who is logged in and has a place in a room."""

    def __init__(self, cookie: str, room: str) -> None:
        self.headers = {"Cookie": cookie}
        self.room = room
        self.since: dict[str, object] | None = None
        self.joined: dict[str, object] = {}
        self.refused: list[int] = []
        self.raw: Raw | None = None

    async def enter(self, url: str) -> None:
        """Connect and join, or resume."""
        self.drop()
        self.raw = await Raw.open(url, self.headers)
        more = {"since": self.since} if self.since else {}
        await self.raw.send("join", room=self.room, ref=1, **more)
        self.joined = await self.raw.expect("joined", ref=1)
        self.since = {"seq": self.joined["through"], "epoch": self.joined["epoch"]}

    async def come_back(self, url: str) -> float:
        """Try until it works; returns the time when it did."""
        while True:
            try:
                await self.enter(url)
                return time.monotonic()
            except Refused as refused:
                self.refused.append(refused.status)
            except (EOFError, OSError):
                self.refused.append(0)
            self.drop()
            await asyncio.sleep(random.uniform(0.5, 1.5))

    def drop(self) -> None:
        if self.raw:
            self.raw.drop()


@fault(
    "F15",
    "2,000 clients (in CI 200) come back at once, each to its room and what it missed there",
    must={"not back": 0, "last one back, s": 30, "5xx": 0, "queries each": 3, "missed": 0},
)
async def storm(ground: Ground) -> Figures:
    """Everybody is logged in by a session; the server they were on was killed."""
    allow_many_files()
    site = start_inside(ground)
    [other] = site.servers
    [victim] = site.start("daphne")
    number = ground.size(200, 2000)
    async with AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(await Client.connect(other.ws))
        for room in ROOMS:
            await speaker.join(room)
        clients = [
            Returner(cookie, ROOMS[one % len(ROOMS)])
            for one, cookie in enumerate(_cookies(site, number))
        ]
        for client in clients:
            stack.callback(client.drop)
        for start in range(0, number, 20):
            await asyncio.gather(*(one.enter(victim.ws) for one in clients[start : start + 20]))
        victim.kill()
        for turn in range(MISSED):
            for room in ROOMS:
                await speaker.say(room, str(turn))
        before, began = await look(other), time.monotonic()
        tasks = [asyncio.create_task(one.come_back(other.ws)) for one in clients]
        back, away = await asyncio.wait(tasks, timeout=WAIT_SECONDS)
        for task in away:
            task.cancel()
        await _written(site, number)
        after = await look(other)
    refused = [status for client in clients for status in client.refused]
    return {
        "not back": len(away),
        "last one back, s": max(task.result() for task in back) - began,
        "5xx": sum(status >= 500 for status in refused),
        "tries without an answer": refused.count(0),
        "queries each": (after["queries"] - before["queries"]) / number,
        "missed": sum(not _has_all(client) for client in clients),
    }


def _cookies(site: Site, number: int) -> list[str]:
    file = site.folder / "cookies.json"
    site.run("-c", SESSIONS, str(number), str(file))
    found: list[str] = json.loads(file.read_text())
    return found


async def _written(site: Site, number: int) -> None:
    """Wait until the tables know of all: that takes queries as well."""

    async def is_written() -> bool:
        [(rows,)] = site.database.rows(
            "SELECT count(*) FROM realtime_presence p JOIN realtime_connection c"
            " ON c.id = p.connection_id JOIN realtime_node n ON n.id = c.node_id"
            " WHERE n.pid = %s",
            site.servers[0].popen.pid,  # type: ignore[union-attr]
        )
        return bool(rows >= number + len(ROOMS))

    await seconds_until(is_written, 20)


def _has_all(client: Returner) -> bool:
    joined = client.joined
    got = [message["content"] for message in joined["messages"]]  # type: ignore[index,attr-defined]
    return bool(joined["recovered"]) and got == [str(turn) for turn in range(MISSED)]
