"""What the scenarios share: sockets that enter together, and what is counted meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .dialects import Dialect
from .senders import Latencies
from .sockets import Book, Socket, until
from .stream import text_of

__all__ = [
    "AT_ONCE",
    "SETTLE_SECONDS",
    "Figures",
    "Options",
    "after",
    "at_once",
    "clocked",
    "close",
    "compare",
    "mark",
    "measure",
    "members",
    "ready",
    "timed",
    "total",
]

Options = dict[str, Any]
Figures = dict[str, float]
AT_ONCE = 50
SETTLE_SECONDS = 1.5
"""Until everybody has been told who is there."""


def mark(name: str) -> None:
    """Tell the runner where we are; it answers when it has read its meters."""
    print(name, flush=True)
    input()


async def members(
    dialect: Dialect, book: Book, bases: Sequence[str], rooms: Sequence[str], number: int
) -> list[Socket]:
    """Open so many sockets, spread over the processes and the rooms."""
    opening: list[Callable[[], Awaitable[Socket]]] = [
        lambda n=n: Socket.open(dialect, book, bases[n % len(bases)], rooms[n % len(rooms)])
        for n in range(number)
    ]
    return await at_once(opening, AT_ONCE)


async def at_once(makers: Sequence[Callable[[], Awaitable[Any]]], number: int) -> list[Any]:
    """Run them all, so many at a time; results in order."""
    results: list[Any] = [None] * len(makers)
    left = iter(enumerate(makers))

    async def some() -> None:
        for index, make in left:
            results[index] = await make()

    await asyncio.gather(*(some() for _ in range(number)))
    return results


async def clocked(
    makers: Sequence[Callable[[], Awaitable[Any]]], number: int
) -> tuple[list[Any], float]:
    """Run them all; returns their results, and the seconds that all took."""
    began = time.perf_counter()
    return await at_once(makers, number), time.perf_counter() - began


async def timed(
    makers: Sequence[Callable[[], Awaitable[Any]]], number: int
) -> tuple[list[float], float]:
    """Run them all; returns the seconds that each took, and all of them."""

    async def one(make: Callable[[], Awaitable[Any]]) -> float:
        began = time.perf_counter()
        await make()
        return time.perf_counter() - began

    return await clocked([lambda m=m: one(m) for m in makers], number)


async def ready(book: Book, sender: Socket, room: str, options: Options) -> None:
    """Send probes until every member hears the sender: some servers subscribe late."""
    dialect = sender.dialect
    book.senders.add(sender)
    for _ in range(20):
        sender.send(dialect.message(room, text_of(0, 0), 0))
        if await until(lambda: all(socket.stream.probes for socket in book.listeners), 0.5):
            break
    else:
        raise TimeoutError("some member hears nothing")
    await asyncio.sleep(SETTLE_SECONDS)
    book.unite()


async def measure(
    sockets: Sequence[Socket],
    seconds: float,
    latencies: Latencies,
    doing: Awaitable[None] | None = None,
) -> Figures:
    """Count what comes for so many seconds, or while something is done."""
    mark("measuring")
    latencies.seconds.clear()
    received, frames = total(sockets)
    began = time.perf_counter()
    await (doing if doing is not None else asyncio.sleep(seconds))
    took = time.perf_counter() - began
    received_after, frames_after = total(sockets)
    mark("measured")
    deliveries, frames = received_after - received, frames_after - frames
    return {
        "seconds": took,
        "deliveries": deliveries,
        "deliveries_per_second": deliveries / took,
        "events_per_frame": deliveries / max(1, frames),
        "p50_ms": latencies.percentile(0.5),
        "p99_ms": latencies.percentile(0.99),
    }


def total(sockets: Sequence[Socket]) -> tuple[int, int]:
    """Return how many messages and frames have come to all sockets together."""
    return sum(socket.received for socket in sockets), sum(socket.frames for socket in sockets)


async def compare(books: Sequence[Book], sockets: Sequence[Socket]) -> Figures:
    """Wait until every member of a room has all that was sent; what is missing is lost."""

    def missing() -> int:
        return sum(_missing(book) for book in books)

    await until(lambda: not missing(), 10)
    lost = missing() + sum(book.dropped for book in books)
    return {"lost": float(lost), "faults": float(sum(book.faults for book in books))}


def _missing(book: Book) -> int:
    sent = sum(book.sent.values())
    return sum(max(0, sent - socket.received) for socket in book.listeners)


def after(seconds: float) -> Callable[[], bool]:
    """Return a function that tells whether so many seconds are over."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


def close(sockets: Sequence[Socket]) -> None:
    """Drop all connections."""
    for socket in sockets:
        socket.close()
