"""F18: all workers on one socket are replaced, one after the other, under load."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from harness.client.chatter import Chatter
from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.client.raw import Raw, Refused
from harness.serving import Serve
from harness.site import UNLIMITED
from harness.waiting import eventually
from tests.faults.fault import Figures, Ground, fault
from tests.faults.meters import allow_many_files
from tests.faults.traffic import ENCODINGS, ROOMS, inside, settle, some_acks, talking

WORKERS = 2
WRITERS = 6
PLACE = "room-9"
"""Where all others are."""
AT_ONCE = 50
BACK_SECONDS = 60


class Visitor:
    """A plain client that stays: it comes back when it is told, and resumes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_here = False
        self.position = 0
        self.epoch = ""
        self.gaps: list[float] = []
        self.missed = self.doubled = self.refused = 0
        self._left_at: float | None = None
        self._raw: Raw | None = None

    async def stay(self) -> None:
        """Live on until it is cancelled."""
        while True:
            wait = 0.5
            try:
                self._raw = await Raw.open(self.url)
                wait = await self._listen(self._raw)
            except Refused:
                self.refused += 1
            except (EOFError, OSError):
                pass
            finally:
                self._leave()
            await asyncio.sleep(wait)

    def _leave(self) -> None:
        if self.is_here:
            self.is_here, self._left_at = False, time.monotonic()
        if self._raw is not None:
            self._raw.drop()
            self._raw = None

    async def _listen(self, raw: Raw) -> float:
        """Be there until the end; return when to come back."""
        since = {"since": {"seq": self.position, "epoch": self.epoch}} if self.epoch else {}
        await raw.send("join", room=PLACE, ref=1, **since)
        while True:
            item = await raw.receive(timeout=3600)
            match item["type"]:
                case "joined" if item.get("ref") == 1:
                    self._joined(item)
                case "message":
                    self._heard(item["seq"])
                case "disconnect":
                    return float(item.get("retry_after") or 0.5)
            raw.seen.clear()

    def _joined(self, item: dict[str, Any]) -> None:
        if self.epoch:
            self.missed += not item["recovered"]
            for message in item["messages"]:
                self._heard(message["seq"])
        self.position, self.epoch, self.is_here = item["through"], item["epoch"], True
        if self._left_at is not None:
            self.gaps.append(time.monotonic() - self._left_at)
            self._left_at = None

    def _heard(self, seq: int) -> None:
        self.missed += max(seq - self.position - 1, 0)
        self.doubled += seq <= self.position
        self.position = max(self.position, seq)


@fault(
    "F18",
    "a rolling restart of two workers on one socket, with 5,000 clients (in CI 60)",
    must={**NOTHING_BROKEN, "not back": 0, "refused": 0, "missed": 0, "doubled": 0, "gap, s": 15},
)
async def rolled(ground: Ground) -> Figures:
    """The clients of the harness talk, and plain ones hear one of them; each was moved."""
    allow_many_files()
    number = ground.size(60, 5000)
    settings = {**UNLIMITED, "CONNECTIONS_PER_PROCESS": 18_000}
    site = ground.make_site(servers=(), settings=settings)
    options = ["--workers", str(WORKERS), "--drain", str(ground.size(1, 20))]
    serve = Serve(site.folder, site.env["DATABASE_URL"], *options, **_own(site.env))
    async with AsyncExitStack() as stack:
        stack.callback(serve.show_log)
        stack.callback(serve.kill)
        serve.spawn()
        await asyncio.to_thread(serve.until, "is ready", WORKERS)
        chatters = [
            site.client(f"client {one}", [serve.ws], ROOMS, ENCODINGS[one % len(ENCODINGS)])
            for one in range(WRITERS)
        ]
        speaker = site.client("speaker", [serve.ws], [PLACE])
        everybody = await stack.enter_async_context(inside([*chatters, speaker]))
        visitors = [Visitor(serve.ws) for _ in range(number)]
        await _come(visitors, stack)
        before = sum(len(visitor.gaps) for visitor in visitors)
        async with talking(chatters, ground.size(5, 10)), talking([speaker], 1):
            await some_acks(everybody, 2)
            began = time.monotonic()
            await serve.rolled()
            took = time.monotonic() - began
            await some_acks(everybody, 2)
        await settle(everybody, site.database)
        away = await _all_back(visitors, speaker)
        resumed = [gap for one in everybody for gap in one.resumed]
        gaps = sorted([gap for visitor in visitors for gap in visitor.gaps] + resumed)
        return {
            **reckon(everybody, site.database),
            "not back": away,
            "refused": sum(visitor.refused for visitor in visitors),
            "missed": sum(visitor.missed for visitor in visitors),
            "doubled": sum(visitor.doubled for visitor in visitors),
            "gap, s": gaps[-1],
            "median gap, s": gaps[len(gaps) // 2],
            "clients": number + len(everybody),
            "moves": len(gaps) - before,
            "roll took, s": took,
            "messages": sum(len(one.acks) for one in everybody),
        }


def _own(env: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if k.startswith("REALTIME_TEST") or k == "REDIS_URL"}


async def _come(visitors: list[Visitor], stack: AsyncExitStack) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leave() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(leave)
    for start in range(0, len(visitors), AT_ONCE):
        group = visitors[start : start + AT_ONCE]
        tasks.extend(asyncio.create_task(visitor.stay()) for visitor in group)
        await eventually(lambda group=group: all(one.is_here for one in group), BACK_SECONDS)  # type: ignore[misc]


async def _all_back(visitors: list[Visitor], speaker: Chatter) -> int:
    """Wait until all show what the speaker has said last; return how many do not."""
    last = speaker.known[PLACE].position

    def away() -> int:
        return sum(not visitor.is_here or visitor.position < last for visitor in visitors)

    with suppress(TimeoutError):
        await eventually(lambda: not away(), BACK_SECONDS)
    return away()
