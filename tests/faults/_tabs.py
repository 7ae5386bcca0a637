"""Tabs of one user who chats, and what must be true of what they sent and were told."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness.site import Site
from harness.waiting import eventually
from tests.faults._browser import Browser, Tab
from tests.faults.fault import Figures

__all__ = ["NOTHING_WRONG", "Group", "Member"]

START = (Path(__file__).parent / "_page.js").read_text()
ROOM = "general"
WAITING = 3
SECONDS = 60
NOTHING_WRONG: Figures = {
    "acked lost": 0,
    "kept lost": 0,
    "doubled": 0,
    "not told": 0,
    "gaps": 0,
    "told twice": 0,
    "out of order": 0,
    "resets": 0,
    "failed": 0,
    "unhandled rejections": 0,
}
LOG_IN = """async (name) => {
  const made = await fetch("/do/make", { method: "POST", body: JSON.stringify({ name }) });
  return String((await made.json()).pk);
}"""
LEADS = "() => window.tab?.notes.transport === 'websocket' && window.tab.client.state === 'open'"
IS_LIVE = "() => window.tab?.client.state === 'open' && window.tab.room.state === 'live'"
STATE = "() => [tab.client.state, tab.room.state, tab.waiting(), tab.notes.changes.slice(-8)]"
IS_IDLE = "() => window.tab.isIdle()"
NOTES = "() => window.tab.notes"


class Member:
    """One tab of a user."""

    def __init__(self, tab: Tab, name: str) -> None:
        self.tab = tab
        self.name = name
        self.since = 0
        """The position at which it joined."""
        self._bursts = 0

    async def run(self, function: str, argument: Any = None) -> Any:
        return await self.tab.run(function, argument)

    async def until(self, condition: str, seconds: float = SECONDS) -> None:
        """Wait until a function of the page returns true."""
        deadline = time.monotonic() + seconds
        while not await self.run(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {condition}: {await self.run(STATE)}")
            await asyncio.sleep(0.02)

    async def opened(self, began: float) -> float:
        """Wait until it is connected anew; return the milliseconds since `began`."""
        later = f"tab.notes.changes.find(([at, state]) => at > {began * 1000} && state === 'open')"
        await self.until(f"() => Boolean({later})")
        at, _ = await self.run(f"() => {later}")
        return float(at) - began * 1000

    async def say(self) -> None:
        """Send one message after the other from now on."""
        self._bursts += 1
        await self.run(f"(name) => tab.burst(name, {WAITING})", f"{self.name}.{self._bursts}")

    async def hush(self) -> None:
        """Send no more, and wait until all is acknowledged."""
        await self.run("() => tab.stop()")
        await self.until(IS_IDLE)


class Group:
    """The tabs of one user of a site, which is reached at `url`."""

    def __init__(self, browser: Browser, site: Site, url: str, **options: Any) -> None:
        self.browser = browser
        self.site = site
        self.url = url
        self.options = {"room": ROOM, "hasTabs": True, "hasOffline": False, **options}
        self.members: list[Member] = []
        self._acked: set[str] = set()
        self.figures = Counter[str](dict.fromkeys(NOTHING_WRONG, 0))
        self.name = ""
        self._number = 0

    async def log_in(self, name: str) -> str:
        """Make a user whose session the browser has from now on; return the user's id."""
        self.name = name
        tab = await self.browser.tab()
        await tab.goto(f"{self.url}/blank")
        self.options["user"] = await tab.run(LOG_IN, name)
        await tab.close()
        return str(self.options["user"])

    async def add(self) -> Member:
        """Open a tab that joins the room and begins to send."""
        self._number += 1
        member = Member(await self.browser.tab(), f"{self.name} {self._number}")
        await self.load(member)
        self.members.append(member)
        return member

    async def load(self, member: Member) -> None:
        """Load the page of a tab, and start its client."""
        await member.tab.goto(f"{self.url}/blank")
        await member.run(START, self.options)
        await member.until(IS_LIVE)
        member.since = (await member.run("() => [tab.room.position, tab.notes.told]"))[0]["seq"]
        told = await member.run("() => tab.notes.told")
        if told:
            member.since = min(member.since, told[0][0] - 1)

    async def leader(self) -> Member:
        """Return the tab with the socket."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for member in self.members:
                if await member.run(LEADS):
                    return member
            await asyncio.sleep(0.02)
        raise TimeoutError("no tab leads")

    async def settle(self) -> None:
        """Wait until every tab has its acks, and has been told all that is stored."""
        for member in self.members:
            await member.hush()
        end = self.site.database.last_seq(ROOM)
        for member in self.members:
            await member.until(f"() => tab.room.position.seq >= {end}")

    async def reload(self, member: Member) -> None:
        """Load the page of a tab anew, as a user does, and go on."""
        self.reckon_gone(await member.run(NOTES))
        await self.load(member)
        await member.say()

    async def reckon(self, kept: set[str]) -> Figures:
        """Compare what the tabs noted with what is stored; `kept` was in the outbox of a page."""
        await self._adopted(kept)
        rows = self.site.database.messages(ROOM)
        for member in self.members:
            notes = await member.run(NOTES)
            self.reckon_gone(notes)
            seqs = [seq for seq, _ in notes["told"]]
            expected = {row.seq for row in rows if row.seq > member.since}
            self.figures["not told"] += len(expected - set(seqs))
        stored = Counter(row.content for row in rows)
        self.figures["acked lost"] += len(self._acked - set(stored))
        self.figures["kept lost"] += len(kept - set(stored))
        self.figures["doubled"] += sum(number - 1 for number in stored.values())
        self.figures["messages"] += len(self._acked)
        return dict(self.figures)

    async def _adopted(self, kept: set[str]) -> None:
        """Wait for messages of pages that are gone, which the others look for twice a minute."""
        with contextlib.suppress(TimeoutError):
            await eventually(
                lambda: kept <= {row.content for row in self.site.database.messages(ROOM)}, 40
            )

    def reckon_gone(self, notes: Any) -> None:
        """Count what is wrong with the notes of a page that ends."""
        seqs = [seq for seq, _ in notes["told"]]
        self._acked.update(notes["acked"])
        self.figures.update(
            {
                "told twice": len(seqs) - len(set(seqs)),
                "out of order": sum(a > b for a, b in itertools.pairwise(seqs)),
                "gaps": sum(a + 1 < b for a, b in itertools.pairwise(seqs)),
                "resets": notes["resets"],
                "failed": len(notes["failed"]),
                "unhandled rejections": len(notes["rejections"]),
            }
        )
