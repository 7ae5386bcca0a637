"""Messages that are stored, in one room and in many, on one process and on several."""

from .case import COST, RATE, Case, Entry, Target, growth, ratio
from .fanout import CORE_DAPHNE

__all__ = ["LATENCY", "NODES", "PERSIST", "ROOMS", "SLOW"]

ACREATE = "Channels chat with acreate, PostgreSQL"
ACREATE_SQLITE = "Channels chat with acreate, SQLite"
TIMES_ACREATE = 8
PERSIST = Case(
    "persist",
    "50 senders in 10 rooms with 16 outstanding each; every message committed before its ack",
    (
        "Senders wait for acknowledgements: first as fast as the server can, then at a fixed rate."
        " The fixed rate is four times that of the Channels chat in the same round. That chat is"
        " the tutorial's with one `acreate` a message."
    ),
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
    (
        "The rate is fixed, whatever a server can do; the clock stops when the last member has the"
        " message."
    ),
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

ROOM_NUMBERS = [1, 10, 100, 1000, 5000]
ROOMS = Case(
    "rooms",
    "1 to 5,000 active rooms of 10, each connection in up to a hundred, 300 messages a second",
    (
        "One process; the rooms are sent to in turn. The cost of a message should not depend on"
        " the number of rooms."
    ),
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
    (
        "Two rounds; in the second one, ten more clients stop reading when the measuring begins,"
        " until the server closes them. Latencies are those of the other clients."
    ),
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
    (
        "The members are spread evenly over the processes. A delivery should cost the same CPU"
        " however many processes there are, and a message is published once."
    ),
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
