"""What is done to a server. Each scenario prints marks, at which the runner reads the meters."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from .crowd import (
    AT_ONCE,
    SETTLE_SECONDS,
    Figures,
    Options,
    after,
    at_once,
    clocked,
    close,
    compare,
    mark,
    measure,
    members,
    ready,
    timed,
)
from .dialects import DIALECTS, Realtime
from .many_topics import topics
from .senders import Latencies, Pace, Window
from .sockets import Book, Socket, until
from .stream import SIZE
from .topics import publish, tell
from .values import values

__all__ = ["SCENARIOS"]

GONE_SECONDS = 5
"""Until those who left are off the tables."""
ROOMS_TOLD_PER_SECOND = 500


async def fanout(options: Options) -> Figures:
    """One room, senders with a window each; a message has landed when another member has it."""
    dialect, book = DIALECTS[options["dialect"]], Book()
    bases = options["bases"]
    sockets = await members(dialect, book, bases, ["general"], options["members"])
    latencies = Latencies()
    windows = {
        number: Window(socket, "general", number, options["outstanding"], latencies)
        for number, socket in enumerate(sockets[: options.get("senders", 1)], 1)
    }
    await ready(book, sockets[0], "general", options)
    sockets[len(windows)].on_run = lambda run: windows[run[0]].run_arrived(run)
    for window in windows.values():
        window.start()
    await asyncio.sleep(options["warm_up"])
    before = sum(window.landings for window in windows.values())
    figures = await measure(sockets, options["seconds"], latencies)
    figures["messages"] = sum(window.landings for window in windows.values()) - before
    for window in windows.values():
        window.is_stopped = True
    told = await compare([book], sockets)
    told["faults"] += sum(window.faults for window in windows.values())
    return figures | told


async def persist(options: Options) -> Figures:
    """Senders in rooms wait for acknowledgements: as fast as it goes, then at a fixed rate."""
    dialect = DIALECTS[options["dialect"]]
    rooms = [f"room-{number}" for number in range(10)]
    books = {room: Book() for room in rooms}
    latencies = Latencies()
    windows = []
    for number in range(options["senders"]):
        room = rooms[number % len(rooms)]
        socket = await Socket.open(dialect, books[room], options["bases"][0], room)
        windows.append(Window(socket, room, number, options["outstanding"], latencies))
        books[room].senders.add(socket)
    for room in rooms:
        first = next(window for window in windows if window.room == room)
        await ready(books[room], first.socket, room, options)
    for window in windows:
        window.socket.on_ack = window.landed
        window.start()
    await asyncio.sleep(options["warm_up"])
    sockets = [window.socket for window in windows]
    before = sum(window.landings for window in windows)
    figures = await measure(sockets, options["seconds"], latencies)
    messages = sum(window.landings for window in windows) - before
    figures |= {"messages": messages, "messages_per_second": messages / figures["seconds"]}
    for window in windows:
        window.is_stopped = True
    await until(lambda: not latencies.waiting, 20)
    unanswered = latencies.waiting
    if rate := options.get("rate"):
        paced = await _paced(windows, rate, options["seconds"])
        unanswered += paced.waiting
        figures["paced_per_second"] = rate
        figures["paced_p50_ms"] = paced.percentile(0.5)
        figures["paced_p99_ms"] = paced.percentile(0.99)
    told = await compare(list(books.values()), sockets)
    told["lost"] += unanswered
    told["faults"] += sum(window.faults for window in windows)
    return figures | told | {"acknowledged": sum(window.landings for window in windows)}


async def _paced(windows: list[Window], rate: float, seconds: float) -> Latencies:
    latencies = Latencies()
    pace = Pace([(window.socket, window.room, window.id) for window in windows], rate, latencies)
    for window in windows:
        pace.continues(window.id, window.last)
        window.latencies = latencies
    await pace.run(after(1.0))
    latencies.seconds.clear()
    await pace.run(after(seconds))
    await until(lambda: not latencies.waiting, 20)
    return latencies


async def latency(options: Options) -> Figures:
    """One room, a fixed rate; some members may stop reading when the measuring begins.

    With `to_last` a message counts once, when the last member has it; else each delivery counts.
    `observers` is how many members are looked at for that, all of them if it is not given.
    """
    dialect, book, base = DIALECTS[options["dialect"]], Book(), options["bases"][0]
    sockets = await members(dialect, book, options["bases"], ["general"], options["members"])
    stalled = [
        await Socket.open(dialect, Book(), base, "general", is_small=True)
        for _ in range(options.get("stalled", 0))
    ]
    await ready(book, sockets[0], "general", options)
    observers = sockets[-options.get("observers", len(sockets)) :]
    latencies = Latencies(len(observers)) if options["to_last"] else Deliveries()
    for socket in observers:
        socket.on_run = latencies.run_arrived
    size = options.get("text_bytes", SIZE)
    pace = Pace([(sockets[0], "general", 1)], options["rate"], latencies, size)
    await pace.run(after(options["warm_up"]))
    for socket in stalled:
        socket.stall()
    sent = pace.sent
    figures = await measure(
        sockets, options["seconds"], latencies, pace.run(after(options["seconds"]))
    )
    figures["messages"] = pace.sent - sent
    for socket in stalled:
        socket.wake()
    await until(lambda: not latencies.waiting, 5)
    await until(lambda: all(socket.is_lost for socket in stalled), 5)
    figures["cut"] = float(sum(socket.is_lost for socket in stalled))
    return figures | await compare([book], sockets)


class Deliveries(Latencies):
    """Seconds from the sending of each message to each of its arrivals."""

    def arrived(self, sender: int, number: int) -> None:
        entry = self._open.get((sender, number))
        if entry is not None:
            self.seconds.append(time.perf_counter() - entry[0])

    @property
    def waiting(self) -> int:
        return 0


async def connect(options: Options) -> Figures:
    """Handshakes, so many at once, each with its own session cookie."""
    dialect = DIALECTS[options["dialect"]]
    with open(options["cookies"]) as file:  # noqa: PTH123 - before anything runs
        cookies = json.load(file)
    book, base = Book(), options["bases"][0]

    async def open_one(cookie: str) -> Socket:
        return await Socket.open(dialect, book, base, "", cookie)

    await at_once([lambda c=c: open_one(c) for c in cookies[:AT_ONCE]], AT_ONCE)
    mark("measuring")
    took, seconds = await timed([lambda c=c: open_one(c) for c in cookies[AT_ONCE:]], AT_ONCE)
    mark("measured")
    latencies = Latencies()
    latencies.seconds = took
    return {
        "connects": len(took),
        "connects_per_second": len(took) / seconds,
        "p50_ms": latencies.percentile(0.5),
        "p99_ms": latencies.percentile(0.99),
    }


async def idle(options: Options) -> Figures:
    """Many open sockets in rooms of a hundred, and then nothing."""
    dialect, base = DIALECTS[options["dialect"]], options["bases"][0]
    book, number = Book(), options["connections"]
    await at_once([lambda: Socket.open(dialect, book, base, "room-0") for _ in range(20)], 20)
    mark("empty")
    opening: list[Callable[[], Awaitable[Socket]]] = [
        lambda n=n: Socket.open(dialect, book, base, f"room-{n // 100}") for n in range(number)
    ]
    await at_once(opening, AT_ONCE)
    await asyncio.sleep(options["warm_up"])
    mark("measuring")
    await asyncio.sleep(options["seconds"])
    mark("measured")
    return {"connections": number, "seconds": options["seconds"], "lost": float(book.dropped)}


async def resume(options: Options) -> Figures:
    """All members of a room drop, miss messages, and come back at once.

    They come back to the last of the processes: to the one they were on, where there is no other.
    """
    dialect, number = DIALECTS["json"], options["members"]
    base, back_to = options["bases"][0], options["bases"][-1]
    missed = options["missed"]
    if not isinstance(dialect, Realtime):
        raise TypeError("only ours resumes")

    async def bare() -> Socket:
        return await Socket.open(DIALECTS["hello"], Book(), back_to, "")

    close(await at_once([bare] * AT_ONCE, AT_ONCE))  # warm, and as most servers are
    await asyncio.sleep(GONE_SECONDS)
    bare_sockets, bare_seconds = await clocked([bare] * number, number)
    close(bare_sockets)
    sender = await Socket.connect(dialect, dialect.url(base, ""))
    await sender.heard(b'"type":"welcome"')
    joined = json.loads(await dialect.join(sender, "general"))
    since = {"seq": joined["through"], "epoch": joined["epoch"]}
    close(await members(dialect, Book(), [base], ["general"], number))
    book = Book()
    sender.is_in(book)
    window = Window(sender, "general", 1, 1, Latencies())
    sender.on_ack = lambda number: window.landed(number) if number < missed else None
    window.start()
    if not await until(lambda: sender.received >= missed, 30):
        raise TimeoutError("the messages that should be missed were not stored")

    async def back() -> int:
        socket = await Socket.connect(dialect, dialect.url(back_to, ""))
        await socket.heard(b'"type":"welcome"')
        return await _caught_up(dialect, socket, since)

    await asyncio.sleep(GONE_SECONDS)
    mark("measuring")
    caught, seconds = await clocked([back] * number, number)
    mark("measured")
    return {
        "members": number,
        "seconds": seconds,
        "bare_seconds": bare_seconds,
        "ratio": seconds / bare_seconds,
        "lost": float(book.dropped),
        "faults": float(sum(one != missed for one in caught)),
    }


async def _caught_up(dialect: Realtime, socket: Socket, since: dict[str, Any]) -> int:
    joined = json.loads(await dialect.join(socket, "general", since))
    numbers = [int(state["content"].split(".")[1]) for state in joined["messages"]]
    return len(numbers) if numbers == list(range(1, len(numbers) + 1)) else -1


async def rooms(options: Options) -> Figures:
    """Many rooms of ten, each connection in up to a hundred; messages at a fixed rate, in turn."""
    dialect, base = DIALECTS["json"], options["bases"][0]
    if not isinstance(dialect, Realtime):
        raise TypeError("only ours has many rooms on one connection")
    names = [f"room-{number}" for number in range(options["rooms"])]
    sockets: list[Socket] = []
    senders = []
    books = []
    for start in range(0, len(names), 100):
        block = names[start : start + 100]
        books.append(Book())
        ten = await at_once([partial(_in_all, dialect, base, block, books[-1])] * 10, 10)
        sockets += ten
        senders += [(ten[0], room, start + n) for n, room in enumerate(block)]
    await asyncio.sleep(SETTLE_SECONDS + len(names) / ROOMS_TOLD_PER_SECOND)
    latencies = Latencies()
    pace = Pace(senders, options["rate"], latencies)
    for socket, _, _ in senders:
        socket.on_run = latencies.run_arrived
    await pace.run(after(options["warm_up"]))
    sent = pace.sent
    figures = await measure(
        sockets, options["seconds"], latencies, pace.run(after(options["seconds"]))
    )
    figures["messages"] = pace.sent - sent
    return figures | await compare(books, sockets)


async def _in_all(dialect: Realtime, base: str, names: list[str], book: Book) -> Socket:
    socket = await Socket.connect(dialect, dialect.url(base, ""))
    await socket.heard(b'"type":"welcome"')
    for name in names:
        await dialect.join(socket, name)
    socket.is_in(book)
    return socket


SCENARIOS: dict[str, Callable[[Options], Awaitable[Figures]]] = {
    "fanout": fanout,
    "persist": persist,
    "latency": latency,
    "connect": connect,
    "idle": idle,
    "resume": resume,
    "rooms": rooms,
    "publish": publish,
    "tell": tell,
    "values": values,
    "topics": topics,
}
