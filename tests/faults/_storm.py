"""What breaks, at random."""

import asyncio
import logging
import random
import time
from collections import Counter
from typing import Any

from harness.services import Postgres, Redis
from harness.site import Server, Site
from tests.faults.traffic import started, stopped
from tests.proxy import Proxy

__all__ = ["Storm"]

logger = logging.getLogger(__name__)
PAUSE_SECONDS = 1, 5
"""Between two faults."""
FROZEN_SECONDS = 3


class Storm:
    """Breaks one thing after the other, at times two at once; each is whole again afterwards."""

    def __init__(self, site: Site, lines: list[Proxy], dice: random.Random) -> None:
        assert site.redis
        assert site.postgres
        self.site = site
        self.lines = lines
        self.dice = dice
        self.done: Counter[str] = Counter()
        self.exits: list[float] = []
        self.spared: Server | None = None
        """A server that lives on, so that one can see whether it grows."""
        self._victims: list[Any] = [*site.servers, site.redis, site.postgres, lines]

    async def rage(self, seconds: float) -> None:
        """Go on for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(self.dice.uniform(*PAUSE_SECONDS))
            number = self.dice.choices([1, 2], [4, 1])[0]
            victims = self.dice.sample(self._victims, number)
            await asyncio.gather(*(self._break(victim) for victim in victims))

    async def _break(self, victim: Any) -> None:
        match victim:
            case Server():
                ways = [self._freeze, self._kill, self._stop]
                way = ways[0] if victim is self.spared else self.dice.choice(ways)
            case Redis():
                way = self.dice.choice([self._freeze, self._stop, self._flush])
            case Postgres():
                way = self._stop
            case _:
                way = self.dice.choice([self._cut, self._mute])
        self.done[way.__name__] += 1
        what = " ".join(getattr(victim, "command", ["lines"]))
        logger.info("%s: %s", way.__name__.strip("_"), what[-100:])
        await way(victim)

    async def _freeze(self, victim: Server | Redis) -> None:
        victim.pause()
        await asyncio.sleep(FROZEN_SECONDS)
        victim.resume()

    async def _kill(self, server: Server) -> None:
        server.kill()
        await asyncio.sleep(self.dice.uniform(0, 2))
        await started(server)

    async def _stop(self, victim: Server | Redis | Postgres) -> None:
        began = time.monotonic()
        await stopped(victim)
        if isinstance(victim, Server):
            self.exits.append(time.monotonic() - began)
        await asyncio.sleep(self.dice.uniform(0, 2))
        await started(victim)

    async def _flush(self, redis: Redis) -> None:
        await asyncio.to_thread(redis.flush)

    async def _cut(self, lines: list[Proxy]) -> None:
        broken = self.dice.sample(lines, 2)
        for line in broken:
            line.cut()
        await asyncio.sleep(self.dice.uniform(0, 2))
        for line in broken:
            line.restore()

    async def _mute(self, lines: list[Proxy]) -> None:
        line = self.dice.choice(lines)
        line.mute()
        await asyncio.sleep(self.dice.uniform(0, 2))
        line.cut()
        line.restore()
