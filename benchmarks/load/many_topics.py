"""Many topics with one subscriber each: what they cost while nothing happens."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from harness.client.frames import frames

from .crowd import AT_ONCE, Figures, Options, at_once, clocked, mark
from .dialects import DIALECTS
from .publishing import Publishers
from .senders import Latencies
from .sockets import Book, Socket

__all__ = ["topics"]

TOPICS_EACH = 100
"""How many topics a connection subscribes to, which is the usual limit."""
PROBE_SECONDS = 0.005


class Subscriber(Socket):
    """A client that is subscribed to many topics."""

    async def subscribe(self, names: Sequence[str]) -> None:
        """Subscribe to all, and wait for the replies."""
        targets = [{"topic": name} for name in names]
        self._left = len(names)
        self._done = asyncio.get_running_loop().create_future()
        self.send(msgspec.json.encode({"type": "subscribes", "topics": targets}))
        await self._done
        self.is_in(Book())

    def _hear(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"subscribed"'):
            self._left -= 1
            if not self._left:
                self._done.set_result(None)
        elif answer := self.dialect.answer(payload):
            self.send(answer)
        else:
            super()._hear(payload)


class Prober(Socket):
    """A client that only sends `ping`, and notes how long each answer took."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.latencies = Latencies()
        self._sent: list[float] = []

    async def probe(self, seconds: float) -> None:
        """Ping the server all the time; it answers as soon as nothing holds its event loop."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            self._sent.append(now)
            self.send(b'{"type":"ping"}')
            await asyncio.sleep(PROBE_SECONDS)

    def data_received(self, data: bytes) -> None:
        if not self._opened.done():
            super().data_received(data)
            return
        for _, payload, _ in frames(data):
            if b'"pong"' in payload:
                self.latencies.seconds.append(time.perf_counter() - self._sent.pop(0))


async def topics(options: Options) -> Figures:
    """Subscribe to many topics, each with one client, and look at the server for a while."""
    dialect, base = DIALECTS["json"], options["bases"][0]
    number = options["topics"]
    names = [f"feed/{place}" for place in range(number)]
    await _fill(options)
    clients: list[Subscriber] = await at_once(
        [partial(Subscriber.connect, dialect, dialect.url(base, ""))] * (number // TOPICS_EACH),
        AT_ONCE,
    )
    for client in clients:
        await client.heard(b'"type":"welcome"')
    mark("empty")
    subscribing = [
        partial(client.subscribe, names[place * TOPICS_EACH : (place + 1) * TOPICS_EACH])
        for place, client in enumerate(clients)
    ]
    _, took = await clocked(subscribing, AT_ONCE)
    await asyncio.sleep(options["warm_up"])
    prober = await Prober.connect(dialect, dialect.url(base, ""))
    mark("measuring")
    await prober.probe(options["seconds"])
    mark("measured")
    return {
        "topics": number,
        "subscribes_per_second": number / took,
        "p50_ms": prober.latencies.percentile(0.5),
        "p99_ms": prober.latencies.percentile(0.99),
        "longest_ms": max(prober.latencies.seconds) * 1000,
        "seconds": options["seconds"],
        "lost": float(sum(client.is_lost for client in [*clients, prober])),
    }


async def _fill(options: Options) -> None:
    """Give each topic a log, by one event."""
    filling = {"kind": "topics", "writers": 1, "in_transaction": False, "seconds": 0.001}
    publishers = await Publishers.start({**options, **filling, "at_once": options["topics"]})
    await publishers.publish()
