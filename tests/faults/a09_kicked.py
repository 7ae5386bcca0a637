"""A9: people lose their place in a room; from then on it is as if they had never been there."""

import asyncio
import json
import math
import random
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from harness.client.encoding import Object
from harness.client.websocket import Client
from harness.site import UNLIMITED, Site
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, stopped

WAYS = ("kicked", "banned", "removed", "hidden")
"""By a moderator's command, twice; the place taken away; the room made private."""
SECONDS, WITHOUT_REDIS = 1, 6
OUT = ("removed", "error")
EVERY = 0.1
NEVER = 99.0
FURTHER = 1
"""How long is listened to who is out, in seconds."""
SET_UP = """
import json, sys, django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
from realtime.models import Membership, Room

def sign_in(user):
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value

users = {name: User.objects.create_user(name) for name in ("mod", "talker", "kicked", "removed")}
for slug in ["general", *sys.argv[1:]]:
    kind = "private" if slug.startswith(("removed", "secret")) else "public"
    room, _ = Room.objects.get_or_create({"kind": kind}, slug=slug)
    Membership.objects.create(room=room, user=users["mod"], role="moderator")
    Membership.objects.create(room=room, user=users["talker"])
    if slug.startswith("removed"):
        Membership.objects.create(room=room, user=users["removed"])
print(json.dumps({name: sign_in(user) for name, user in users.items()}))
"""


class Ear:
    """A client that notes when it heard what."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[tuple[float, Object]] = []
        self._news = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, session: str = "") -> AsyncIterator["Ear"]:
        """Connect, as a guest unless a session is given."""
        headers = {"Cookie": f"sessionid={session}"} if session else None
        async with await Client.connect(url, headers=headers) as client:
            ear = cls(client)
            listening = asyncio.create_task(ear._listen())
            try:
                await ear.until(lambda: ear.heard)
                yield ear
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening

    @property
    def user_id(self) -> str:
        return str(self.heard[0][1]["user_id"])

    async def until(self, condition: Any) -> None:
        """Wait until something that was heard makes it true."""
        async with asyncio.timeout(15), self._news:
            await self._news.wait_for(condition)

    async def ask(self, kind: str, **fields: Any) -> Object:
        """Send a command and return its reply."""
        ref = f"{kind} {len(self.heard)}"
        await self.client.send(kind, ref=ref, **fields)
        await self.until(lambda: self._replies(ref))
        return self._replies(ref)[0]

    async def is_refused(self, kind: str, **fields: Any) -> bool:
        """Whether a command, which may be one without a reply, is answered with an error."""
        ref = f"tried {kind} {len(self.heard)}"
        await self.client.send(kind, ref=ref, **fields)
        await self.ask("ping")
        return [reply["type"] for reply in self._replies(ref)] == ["error"]

    def of(self, room: str) -> list[float]:
        """When there was something of a room, but that one is out."""
        return [at for at, item in self.heard if _room(item) == room and item["type"] not in OUT]

    def told(self, room: str) -> float:
        """When it was said that one is out."""
        tellings = (item for item in self.heard if item[1]["type"] == "removed")
        return next((at for at, item in tellings if _room(item) == room), math.inf)

    def _replies(self, ref: str) -> list[Object]:
        return [item for _, item in self.heard if item.get("ref") == ref]

    async def _listen(self) -> None:
        while True:
            item = await self.client.receive(600)
            async with self._news:
                self.heard.append((time.monotonic(), item))
                self._news.notify_all()


@fault(
    "A9",
    "kicked, banned, removed, the room made private; while entering; rooms that were never entered",
    must={
        "out, s": SECONDS,
        "out without Redis, s": WITHOUT_REDIS,
        "out while entering, s": SECONDS,
        "told, s": SECONDS,
        "told without Redis, s": WITHOUT_REDIS,
        "heard later": 0,
        "heard by who was never in": 0,
        "not refused": 0,
    },
)
async def kicked(ground: Ground) -> Figures:
    """The moderator is on one process and all others on the other one, while many talk."""
    pulse = ground.size(2, 5)
    settings = {**UNLIMITED, "PULSE_SECONDS": pulse}
    site = ground.make_site(
        servers=TWO, own_redis=True, settings=settings, urls="tests.faults._pages"
    )
    rooms = [f"{way}-{turn}" for way in WAYS for turn in "ab"]
    sessions = json.loads(site.run("-c", SET_UP, *rooms, "secret"))
    here, there = site.urls
    async with AsyncExitStack() as stack:

        async def enter(url: str, name: str = "", *into: str) -> Ear:
            ear = await stack.enter_async_context(Ear.open(url, sessions.get(name, "")))
            for room in into:
                assert (await ear.ask("join", room=room))["type"] == "joined"
            return ear

        everywhere = ("general", "secret", *rooms)
        mod = await enter(here, "mod", *everywhere)
        victims = {way: await enter(there, way, f"{way}-a", f"{way}-b") for way in WAYS}
        outsider = await enter(there)
        guests = [await enter(there) for _ in range(ground.size(20, 200))]
        for url in (here, there):
            talker = await enter(url, "talker", *everywhere)
            await stack.enter_async_context(_talking(talker, everywhere))
        took, (entering, late) = await asyncio.gather(
            _put_out(site, mod, victims, "a", SECONDS), _while_entering(mod, guests)
        )
        refused = [await _outside(victim, f"{way}-a") for way, victim in victims.items()]
        refused += [await _outside(outsider, room) for room in ("secret", "nowhere")]
        refused += [await _not_joined(outsider, "general")]
        assert site.redis
        await stopped(site.redis)
        without = await _put_out(site, mod, victims, "b", WITHOUT_REDIS)
        refused += [await _outside(victim, f"{way}-b") for way, victim in victims.items()]
    return {
        "out, s": took["out"],
        "out without Redis, s": without["out"],
        "out while entering, s": entering,
        "told, s": took["told"],
        "told without Redis, s": without["told"],
        "heard later": took["later"] + without["later"] + late,
        "heard by who was never in": sum(len(outsider.of(room)) for room in everywhere),
        "not refused": sum(refused),
    }


@asynccontextmanager
async def _talking(talker: Ear, rooms: Iterable[str]) -> AsyncIterator[None]:
    async def talk() -> None:
        while True:
            for room in rooms:
                await talker.client.send("message", room=room, content="psst")
                await talker.client.send("typing", room=room)
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(talk())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _put_out(
    site: Site, mod: Ear, victims: dict[str, Ear], turn: str, most: float
) -> dict[str, float]:
    """Take all their places away; how long they heard the room on, and how much too late."""
    for way, victim in victims.items():
        before = len(victim.of(f"{way}-{turn}"))
        await victim.until(lambda: len(victim.of(f"{way}-{turn}")) > before + 1)  # noqa: B023
    acts = (_act(site, mod, way, victim, f"{way}-{turn}") for way, victim in victims.items())
    done = dict(zip(victims, await asyncio.gather(*acts), strict=True))
    await asyncio.gather(*(_told(one, f"{way}-{turn}", most) for way, one in victims.items()))
    await asyncio.sleep(FURTHER)
    out, told, later = [0.0], [0.0], 0
    for way, victim in victims.items():
        heard, end = victim.of(f"{way}-{turn}"), victim.told(f"{way}-{turn}")
        out.append(heard[-1] - done[way])
        told.append(min(end - done[way], NEVER))
        later += sum(at > min(end, done[way] + most) for at in heard)
    return {"out": max(out), "told": max(told), "later": later}


async def _told(victim: Ear, room: str, most: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(most):
            await victim.until(lambda: victim.told(room) < math.inf)


async def _act(site: Site, mod: Ear, way: str, victim: Ear, room: str) -> float:
    """Returns the time of the reply."""
    if way in ("kicked", "banned"):
        kind = {"kicked": "kick", "banned": "ban"}[way]
        reply = await mod.ask(kind, room=room, user_id=victim.user_id)
        assert reply["type"] == "done", reply
    else:
        url = f"{site.servers[0].url}/{way}/{room}"
        await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read())
    return time.monotonic()


async def _while_entering(mod: Ear, guests: list[Ear]) -> tuple[float, int]:
    """Ban each while it joins, now sooner, now later; how long they heard the room, how much late.

    Late is what comes after one was told to be out.
    """
    chance = random.Random(9)
    ends = [await _race(mod, guest, chance.uniform(-0.02, 0.02)) for guest in guests]
    await asyncio.sleep(ends[-1] + SECONDS + FURTHER - time.monotonic())
    out, late = 0.0, 0
    for guest, end in zip(guests, ends, strict=True):
        heard = guest.of("general")
        out = max([out, *(at - end for at in heard[-1:])])
        late += sum(at > guest.told("general") for at in heard)
    return out, late


async def _race(mod: Ear, guest: Ear, ahead: float) -> float:
    """The end of the later of the two."""

    async def join() -> None:
        await asyncio.sleep(ahead)
        await guest.ask("join", room="general")

    async def ban() -> None:
        await asyncio.sleep(-ahead)
        await mod.ask("ban", room="general", user_id=guest.user_id)

    await asyncio.gather(join(), ban())
    return time.monotonic()


async def _outside(ear: Ear, room: str) -> int:
    """Try to enter and to look in; how often that is possible."""
    since = {"seq": 0, "epoch": "x"}
    tries = [
        await ear.is_refused("join", room=room),
        await ear.is_refused("join", room=room, since=since),
        await ear.is_refused("joins", rooms=[{"room": room, "since": since}]),
    ]
    return tries.count(False) + await _not_joined(ear, room)


async def _not_joined(ear: Ear, room: str) -> int:
    """Try everything that is done inside; how often that is possible."""
    tries: dict[str, Object] = {
        "message": {"content": "hello?"},
        "history": {},
        "signal": {"data": {}},
        "typing": {},
        "presence": {},
        "read": {"seq": 1},
        "report": {"id": 1},
        "delete": {"id": 1},
    }
    answers = [await ear.is_refused(one, room=room, **more) for one, more in tries.items()]
    return answers.count(False)


def _room(item: Object) -> str | None:
    room: str | None = item.get("room")
    return room
