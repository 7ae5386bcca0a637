"""Random walks: rights that come and go, while events are published and clients come and go."""

import asyncio
import random
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from harness.client.encoding import Object
from harness.site import UNLIMITED
from realtime import testing
from realtime.models import Membership
from realtime.testing import connect
from tests.consumers.topics.shop import Shop

REVOKED_SECONDS = 1.5
"""After this time, no event may be delivered without a right: one second, on a busy machine."""


class Walker:
    """A client that subscribes again whenever it can, from its last position."""

    def __init__(
        self, user: Any, order: Any, published: dict[int, float], dice: random.Random
    ) -> None:
        self.user = user
        self.published = published
        self.order = order
        self.dice = dice
        self.seq, self.epoch = 0, ""
        self.totals: list[int] = []
        self.repeats: list[int] = []
        self.forbidden: list[int] = []
        self.rights: list[tuple[float, bool]] = [(0.0, False)]
        self.is_subscribed = False

    async def run(self) -> None:
        while True:
            self.is_subscribed, is_waiting = False, False
            until = time.monotonic() + self.dice.uniform(0.5, 5)
            async with connect(self.user) as socket:
                while time.monotonic() < until:
                    if not self.is_subscribed and not is_waiting:
                        since = {"seq": self.seq, "epoch": self.epoch}
                        socket.send("subscribe", topic=self.order.name, since=since, ref=1)
                        is_waiting = True
                    await asyncio.sleep(0.01)
                    items, socket.arrived[:] = socket.arrived[:], []
                    for item in items:
                        is_waiting = is_waiting and "ref" not in item
                        self._take(item)

    async def change_right(self, may: bool) -> None:
        """Grant or revoke; the time of a grant is before it, that of a revocation after it."""
        if may:
            self.rights.append((time.time(), True))
        await self._store_right(may)
        if not may:
            self.rights.append((time.time(), False))

    def _may_get(self, published_at: float) -> bool:
        """Whether an event may come now: there was a right at that time, or a change since."""
        before = [may for at, may in self.rights if at <= published_at]
        return before[-1] or self.rights[-1][0] > published_at - REVOKED_SECONDS

    def _take(self, item: Object) -> None:
        match item["type"]:
            case "subscribed":
                assert item["recovered"]
                self.epoch = item["epoch"]
                for entry in item["entries"]:
                    self._take_entry(entry)
                self.is_subscribed = not item["has_more"]
            case "event":
                self.epoch = item.get("epoch", self.epoch)
                self._take_entry(item)
            case "removed" | "resync":
                self.is_subscribed = False

    def _take_entry(self, entry: Object) -> None:
        if entry["seq"] <= self.seq:
            self.repeats.append(entry["seq"])
        self.seq = entry["seq"]
        total = entry["data"]["total"]
        self.totals.append(total)
        if not self._may_get(self.published[total]):
            self.forbidden.append(total)

    @sync_to_async
    def _store_right(self, may: bool) -> None:
        members = Membership.objects.filter(room_id=self.order.pk, user=self.user)
        if may and not members.exists():
            Membership.objects.create(room_id=self.order.pk, user=self.user)
        elif not may:
            members.delete()
        self.order.refresh_rights()


@pytest.mark.parametrize("seed", range(2))
async def test_no_walk_shows_what_it_may_not_and_none_misses_or_repeats_anything(
    shop: Shop, order: Any, seed: int
) -> None:
    dice = random.Random(seed)
    published: dict[int, float] = {}
    async with testing.engine(**{**UNLIMITED, "DB_THREADS": 3}):
        users = [await get_user_model().objects.acreate(username=f"user {n}") for n in range(4)]
        walkers = [Walker(user, order, published, dice) for user in users]
        tasks = [asyncio.create_task(walker.run()) for walker in walkers]
        until = time.monotonic() + 6
        while time.monotonic() < until:
            if dice.random() < 0.1:
                await (walker := dice.choice(walkers)).change_right(not walker.rights[-1][1])
            else:
                total = len(published) + 1
                published[total] = time.time()
                await order.apublish(shop.Paid(total=total))
            await asyncio.sleep(dice.uniform(0, 0.05))
        for walker in walkers:
            await walker.change_right(True)
        async with asyncio.timeout(30):
            while any(walker.seq < len(published) for walker in walkers):
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for walker in walkers:
        assert (walker.repeats, walker.forbidden) == ([], [])
        assert walker.totals == list(range(1, len(published) + 1))
