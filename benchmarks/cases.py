"""What is measured, with whom, and what has to come out: the ratios that the project promises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case", "Entry", "Figures", "Target"]

Figures = dict[str, dict[str, float]]
"""By an entry's label, then by a figure's name: the medians of all rounds."""
Options = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of a case: a contender, how it is spoken to, and what differs from the case."""

    contender: str
    dialect: str
    label: str = ""
    options: Options = field(default_factory=dict)
    x: float | None = None
    """Where it stands on the axis of a case that grows."""
    ground: Options = field(default_factory=dict)
    """What its server is started with: `processes`, `rooms`."""
    paced_by: str = ""
    """Whose rate of the same round decides its own, times `pace`."""
    pace: float = 1


@dataclass(frozen=True)
class Target:
    """Something that has to be at least (or at most) so much, computed from the medians."""

    text: str
    needed: float
    measured: Callable[[Figures], float]
    is_at_most: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.needed if self.is_at_most else value >= self.needed


@dataclass(frozen=True)
class Case:
    """A scenario of the load client, the entries that are compared, and the targets."""

    name: str
    title: str
    scenario: str
    options: Options
    entries: list[Entry]
    columns: list[str]
    targets: list[Target]
    quick: Options = field(default_factory=dict)
    chart: str = ""
    """The figure that the chart shows."""
    counts_queries: bool = False
    """Whether PostgreSQL is to log every statement."""
    axis: str = ""
    """What the chart's x axis says, for a case that grows."""


def ratio(above: str, below: str, figure: str) -> Callable[[Figures], float]:
    """How many times the figure of one entry is that of another."""
    return lambda figures: figures[above][figure] / figures[below][figure]


def growth(labels: list[str], figure: str) -> Callable[[Figures], float]:
    """How far the figures of entries lie above that of the first, at the most."""
    return lambda figures: max(figures[one][figure] for one in labels) / figures[labels[0]][figure]


RATE = "deliveries_per_second"
COST = "cpu_us_per_delivery"


def _fanout_entries() -> Iterator[Entry]:
    for server, name in (("daphne", "Daphne"), ("uvicorn", "uvicorn")):
        yield Entry(server, "json", f"realtime, {name}")
        yield Entry(server, "ndjson", f"realtime, {name}, ndjson")
        yield Entry(server, "signal", f"realtime, {name}, signals")
        yield Entry(server, "ndjson-signal", f"realtime, {name}, ndjson, signals")
        yield Entry(f"stock-{server}", "stock", f"Channels chat, core layer, {name}")
        yield Entry(f"stock-pubsub-{server}", "stock", f"Channels chat, pubsub layer, {name}")
    yield Entry("python-socketio", "socketio", "python-socketio, uvicorn")
    yield Entry("websockets", "plain", "websockets broadcast")
    yield Entry("ws", "plain", "ws on Node")
    yield Entry("socketio", "socketio", "Socket.IO on Node")
    yield Entry("nchan", "plain", "nchan in nginx")


CORE_DAPHNE = "Channels chat, core layer, Daphne"
FANOUT = Case(
    "fanout",
    "One room of 200, texts of 100 bytes, one sender with 64 outstanding",
    "fanout",
    {"members": 200, "outstanding": 64},
    list(_fanout_entries()),
    [RATE, COST, "events_per_frame", "p50_ms", "p99_ms", "memory_mib"],
    [
        Target(
            "Daphne, one message a frame, to the Channels chat (core) on Daphne",
            5,
            ratio("realtime, Daphne", CORE_DAPHNE, RATE),
        ),
        Target(
            "Daphne, ndjson, to the Channels chat (core) on Daphne",
            40,
            ratio("realtime, Daphne, ndjson", CORE_DAPHNE, RATE),
        ),
        Target(
            "Daphne, ndjson, to ws on Node",
            2,
            ratio("realtime, Daphne, ndjson", "ws on Node", RATE),
        ),
        Target(
            "Daphne, ndjson, to nchan",
            1.5,
            ratio("realtime, Daphne, ndjson", "nchan in nginx", RATE),
        ),
        Target(
            "uvicorn, one message a frame, to ws on Node",
            0.9,
            ratio("realtime, uvicorn", "ws on Node", RATE),
        ),
        Target(
            "uvicorn, one message a frame, to python-socketio",
            2.5,
            ratio("realtime, uvicorn", "python-socketio, uvicorn", RATE),
        ),
        Target(
            "uvicorn, ndjson, to ws on Node",
            3.5,
            ratio("realtime, uvicorn, ndjson", "ws on Node", RATE),
        ),
        Target(
            "Daphne: stored messages to signals",
            0.8,
            ratio("realtime, Daphne", "realtime, Daphne, signals", RATE),
        ),
        Target(
            "Daphne, ndjson: stored messages to signals",
            0.8,
            ratio("realtime, Daphne, ndjson", "realtime, Daphne, ndjson, signals", RATE),
        ),
    ],
    quick={"members": 50},
    chart=RATE,
)

SIZES = [10, 50, 200, 1000, 3000]
MEMBERS = Case(
    "members",
    "The same with 10 to 3,000 members",
    "fanout",
    {"outstanding": 64},
    [
        Entry("daphne", dialect, f"{dialect}, {size} members", {"members": size}, size)
        for dialect in ("json", "ndjson")
        for size in SIZES
    ],
    [RATE, COST, "events_per_frame", "p99_ms", "memory_mib"],
    [
        Target(
            f"{dialect}: CPU a delivery, largest to that of 50 members",
            1.2,
            growth([f"{dialect}, {size} members" for size in SIZES[1:]], COST),
            is_at_most=True,
        )
        for dialect in ("json", "ndjson")
    ],
    chart=COST,
    axis="members",
)

ACREATE = "Channels chat with acreate, PostgreSQL"
ACREATE_SQLITE = "Channels chat with acreate, SQLite"
TIMES_ACREATE = 8
PERSIST = Case(
    "persist",
    "50 senders in 10 rooms with 16 outstanding each; every message committed before its ack",
    "persist",
    {"senders": 50, "outstanding": 16},
    [
        Entry("stock-daphne", "stock-persist", ACREATE),
        Entry("daphne", "json", "realtime, PostgreSQL", paced_by=ACREATE, pace=TIMES_ACREATE / 2),
        Entry("stock-daphne-sqlite", "stock-persist", ACREATE_SQLITE),
        Entry(
            "daphne-sqlite",
            "json",
            "realtime, SQLite",
            paced_by=ACREATE_SQLITE,
            pace=TIMES_ACREATE / 2,
        ),
    ],
    [
        "messages_per_second",
        "cpu_us_per_message",
        "p99_ms",
        "paced_per_second",
        "paced_p50_ms",
        "paced_p99_ms",
    ],
    [
        Target(
            "PostgreSQL, to one acreate a message",
            TIMES_ACREATE,
            ratio("realtime, PostgreSQL", ACREATE, "messages_per_second"),
        ),
        Target(
            "PostgreSQL: p99 of an ack, ms, at half of eight times acreate's rate",
            25,
            lambda figures: figures["realtime, PostgreSQL"]["paced_p99_ms"],
            is_at_most=True,
        ),
    ],
    quick={"senders": 10},
    chart="messages_per_second",
)

LATENCY = Case(
    "latency",
    "200 members, 20 messages a second: from the sending to the last delivery",
    "latency",
    {"members": 200, "rate": 20, "to_last": True},
    [
        Entry("daphne", "json", "realtime, Daphne"),
        Entry("daphne", "ndjson", "realtime, Daphne, ndjson"),
        Entry("stock-daphne", "stock", CORE_DAPHNE),
        Entry("stock-pubsub-daphne", "stock", "Channels chat, pubsub layer, Daphne"),
    ],
    ["p50_ms", "p99_ms", COST],
    [
        Target(
            "p99 to the p50 of the Channels chat (core)",
            1,
            lambda figures: figures["realtime, Daphne"]["p99_ms"] / figures[CORE_DAPHNE]["p50_ms"],
            is_at_most=True,
        )
    ],
    quick={"members": 50},
    chart="p99_ms",
)

CONNECT = Case(
    "connect",
    "Handshakes with a session cookie, 50 at once, on PostgreSQL",
    "connect",
    {"sessions": 2000},
    [
        Entry("daphne", "hello", "realtime, Daphne"),
        Entry("stock-daphne", "stock-session", "Channels with AuthMiddlewareStack, Daphne"),
    ],
    ["connects_per_second", "cpu_us_per_connect", "p50_ms", "p99_ms"],
    [
        Target(
            "connects a second, to AuthMiddlewareStack",
            2,
            ratio(
                "realtime, Daphne",
                "Channels with AuthMiddlewareStack, Daphne",
                "connects_per_second",
            ),
        ),
        Target(
            "CPU a connect, to AuthMiddlewareStack",
            0.5,
            ratio(
                "realtime, Daphne",
                "Channels with AuthMiddlewareStack, Daphne",
                "cpu_us_per_connect",
            ),
            is_at_most=True,
        ),
    ],
    quick={"sessions": 300},
    chart="connects_per_second",
)

IDLE = Case(
    "idle",
    "5,000 open connections in rooms of a hundred, and nothing to do",
    "idle",
    {"connections": 5000, "warm_up": 5, "seconds": 50},
    [
        Entry("daphne", "json", "realtime, Daphne", ground={"rooms": 50}),
        Entry("stock-daphne", "bare", "a bare accepted socket, Daphne"),
    ],
    ["kib_per_connection", "cpu_percent"],
    [
        Target(
            "memory a connection above a bare accepted socket, KiB",
            12,
            lambda figures: (
                figures["realtime, Daphne"]["kib_per_connection"]
                - figures["a bare accepted socket, Daphne"]["kib_per_connection"]
            ),
            is_at_most=True,
        ),
        Target(
            "CPU, percent of a core",
            2,
            lambda figures: figures["realtime, Daphne"]["cpu_percent"],
            is_at_most=True,
        ),
    ],
    quick={"connections": 500, "seconds": 3},
)

RESUMES = ["the same process", "another process, just started"]
RESUME = Case(
    "resume",
    "2,000 members drop, miss 200 messages, and all come back at once",
    "resume",
    {"members": 2000, "missed": 200},
    [
        Entry("daphne", "json", RESUMES[0]),
        Entry("daphne", "json", RESUMES[1], ground={"processes": 2}),
    ],
    ["bare_seconds", "seconds", "ratio", "history_queries"],
    [
        Target(
            "history queries",
            1,
            lambda figures: max(figures[label]["history_queries"] for label in RESUMES),
            is_at_most=True,
        ),
        Target(
            "time to the bare connects",
            2,
            lambda figures: max(figures[label]["ratio"] for label in RESUMES),
            is_at_most=True,
        ),
    ],
    quick={"members": 200},
    counts_queries=True,
)

ROOM_NUMBERS = [1, 10, 100, 1000, 5000]
ROOMS = Case(
    "rooms",
    "1 to 5,000 active rooms of 10, each connection in up to a hundred, 300 messages a second",
    "rooms",
    {"rate": 300},
    [
        Entry("daphne", "json", f"{number} rooms", {"rooms": number}, number, {"rooms": number})
        for number in ROOM_NUMBERS
    ],
    ["cpu_us_per_message", "p50_ms", "p99_ms", "memory_mib"],
    [
        Target(
            "CPU a message, largest to that of one room",
            1.2,
            growth([f"{number} rooms" for number in ROOM_NUMBERS], "cpu_us_per_message"),
            is_at_most=True,
        )
    ],
    chart="cpu_us_per_message",
    axis="rooms",
)

SLOW = Case(
    "slow",
    "200 readers, 100 messages of 4,000 bytes a second; then 10 more that stop reading",
    "latency",
    {"members": 200, "rate": 100, "to_last": False, "text_bytes": 4000, "seconds": 12},
    [
        Entry("daphne", "json", "all read"),
        Entry("daphne", "json", "10 have stalled", {"stalled": 10}),
    ],
    ["p50_ms", "p99_ms", COST, "cut"],
    [
        Target(
            "p99 of the others, to nobody stalled",
            1.3,
            ratio("10 have stalled", "all read", "p99_ms"),
            is_at_most=True,
        ),
        Target(
            "readers that stalled and were cut",
            10,
            lambda figures: figures["10 have stalled"]["cut"],
        ),
    ],
    quick={"members": 50},
)

PROCESSES = [1, 2, 4]
FEW = "4 processes, 100 members"
NODES = Case(
    "nodes",
    "One room of 1,000 spread over 1 to 4 processes, the pubsub layer, 100 messages a second",
    "latency",
    {"members": 1000, "rate": 100, "to_last": False, "observers": 8},
    [
        *(
            Entry("daphne", "json", f"{number} processes", {}, number, {"processes": number})
            for number in PROCESSES
        ),
        Entry("daphne", "json", FEW, {"members": 100}, ground={"processes": 4}),
    ],
    [RATE, COST, "redis_us_per_message", "publishes_per_message", "p99_ms"],
    [
        Target(
            "CPU a delivery, largest to that of one process",
            1.25,
            growth([f"{number} processes" for number in PROCESSES], COST),
            is_at_most=True,
        ),
        Target(
            "publishes a message, with those of pulses",
            1.1,
            lambda figures: max(one["publishes_per_message"] for one in figures.values()),
            is_at_most=True,
        ),
        Target(
            "Redis CPU a message, 1,000 members to 100",
            1.25,
            ratio("4 processes", FEW, "redis_us_per_message"),
            is_at_most=True,
        ),
    ],
    quick={"members": 100},
    chart=COST,
    axis="processes",
)

CASES = {
    case.name: case
    for case in (
        FANOUT,
        MEMBERS,
        PERSIST,
        LATENCY,
        CONNECT,
        IDLE,
        RESUME,
        ROOMS,
        SLOW,
        NODES,
    )
}
