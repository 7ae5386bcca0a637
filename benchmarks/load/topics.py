"""What is done to topics by processes that publish, and by their subscribers."""

import time
from typing import Any

from .crowd import Figures, Options, compare, mark, members, total
from .dialects import DIALECTS
from .publishing import Arrivals, Published, Publishers
from .senders import Latencies
from .sockets import Book, Socket

__all__ = ["publish", "tell"]

SILENT = "nothing"
"""The kind of a publisher that publishes nothing."""


class Audience:
    """The subscribers of some feeds; the last `observers` of each are looked at."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._books = [Book() for _ in range(options["topics"])]
        self.sockets: list[Socket] = []
        self.arrivals = Arrivals(options["observers"])

    async def enter(self) -> None:
        """Subscribe all of them, and have something published, so that all is warm."""
        dialect, base = DIALECTS[self._options["dialect"]], self._options["bases"][-1]
        for number, book in enumerate(self._books):
            room, size = f"room-{number}", self._options["members"]
            some = await members(dialect, book, [base], [room], size)
            self.sockets += some
            for socket in some[-self._options["observers"] :]:
                socket.on_run = self.arrivals.run_arrived
        await self.hear(self._options["warm_up"], {})

    async def hear(self, seconds: float, changes: dict[str, Any]) -> tuple[Published, Figures]:
        """Have something published for so long, and wait until all subscribers have it.

        The figures are `lost` and `faults`, and the seconds until everything had arrived.
        """
        options = {**self._options, **changes, "seconds": seconds}
        publishers = await Publishers.start(options)
        for book in self._books:  # each publisher counts from 1
            book.sent.clear()
            book.unite()
        self.arrivals.clear()
        if options.get("outstanding"):
            self.arrivals.on_landed = publishers.landed
        began = time.perf_counter()
        published = await publishers.publish()
        self.arrivals.on_landed = lambda number: None
        if options["kind"] != SILENT:
            for writer, times in published.sent.items():
                self._books[writer % len(self._books)].sent[writer] = len(times)
        told = await compare(self._books, self.sockets)
        return published, told | {"seconds": time.perf_counter() - began}


async def publish(options: Options) -> Figures:
    """Processes without sockets publish as fast as they can; subscribers get all of it.

    Where nothing is published, only the rate of the transactions is a figure.
    """
    audience = Audience(options)
    await audience.enter()
    mark("measuring")
    published, figures = await audience.hear(options["seconds"], {})
    mark("measured")
    figures |= {
        "events": published.number,
        "events_per_second": published.number / published.seconds,
    }
    if options["kind"] == SILENT:
        return figures
    return {
        **figures,
        **_percentiles(audience.arrivals.seconds(published)),
        "told_per_second": published.number / figures["seconds"],
    }


async def tell(options: Options) -> Figures:
    """The same to many subscribers: as fast as it goes, then at a share of that rate."""
    audience = Audience(options)
    await audience.enter()
    most, figures = await audience.hear(options["seconds"], {})
    told_per_second = most.number / figures["seconds"]
    rate = told_per_second * options["pace"]
    mark("measuring")
    paced, paced_figures = await audience.hear(options["seconds"], {"rate": rate, "outstanding": 0})
    mark("measured")
    return {
        **paced_figures,
        **_percentiles(audience.arrivals.seconds(paced)),
        "lost": figures["lost"] + paced_figures["lost"],
        "faults": figures["faults"] + paced_figures["faults"],
        "deliveries": total(audience.sockets)[0],
        "told_per_second": told_per_second,
        "paced_per_second": rate,
    }


def _percentiles(seconds: list[float]) -> Figures:
    latencies = Latencies()
    latencies.seconds = seconds
    return {"p50_ms": latencies.percentile(0.5), "p99_ms": latencies.percentile(0.99)}
