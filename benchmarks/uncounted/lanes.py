"""Measure counting in one process: `python -m benchmarks.uncounted.lanes`.

Lanes deliver to 200 connections without sockets, with counting and without it in turn. There is
one event a round, so counting has its largest part.
"""

import asyncio
import os
import time
from statistics import median
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "harness.settings")
django.setup()

from realtime.engine.connections.connection import Connection  # noqa: E402 - needs settings
from realtime.engine.delivery.event import Event  # noqa: E402
from realtime.engine.delivery.flusher import Flusher  # noqa: E402
from realtime.engine.delivery.topic import Topic  # noqa: E402
from realtime.wire.codecs import JSON, Frame  # noqa: E402

from .patch import uncounted  # noqa: E402

MEMBERS, EVENTS, PAIRS = 200, 200, 60
TEXT = '{"type":"message","content":"' + "x" * 200 + '"}'


async def main() -> None:
    """Print the CPU time of a delivery with counting and without it."""
    counted, bare = [], []
    await _cost()
    for _ in range(PAIRS):
        counted.append(await _cost())
        with uncounted():
            bare.append(await _cost())
    shares = [one / other for one, other in zip(counted, bare, strict=True)]
    for label, costs in (("counted", counted), ("not counted", bare)):
        cost = median(costs)
        print(f"{label}: {cost:.4f} µs of CPU a delivery, {1e6 / cost:,.0f} a second")
    print(f"with counting to without, median of {PAIRS} pairs: {median(shares):.4f}")


async def _cost() -> float:
    """Return the CPU time of a delivery in microseconds."""
    flushers = Flusher(coalesces=False), Flusher(coalesces=True)
    topic, events = Topic("room", flushers), None
    for number in range(MEMBERS):
        connection = Connection(f"n.{number}", events, _send, JSON)  # type: ignore[arg-type]
        connection.outbox.open()
        topic.attach(connection)
    began = time.process_time()
    for _ in range(EVENTS):
        topic.deliver(Event(Frame(TEXT)))
        await flushers[0].stop()  # which sends what is pending
    return (time.process_time() - began) * 1e6 / (MEMBERS * EVENTS)


async def _send(message: dict[str, Any]) -> None:
    """Take a frame."""


if __name__ == "__main__":
    asyncio.run(main())
