"""What connections cost: to open, to hold, and to bring back."""

from .case import Case, Entry, Target, ratio

__all__ = ["CONNECT", "IDLE", "RESUME"]

CONNECT = Case(
    "connect",
    "Handshakes with a session cookie, 50 at once, on PostgreSQL",
    (
        "From opening the connection to the first frame, which is sent once the session's user is"
        " known. The peer is a consumer behind `AuthMiddlewareStack`."
    ),
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
    (
        "The memory that each connection adds to the server, and the CPU of all without messages."
        " Ours have joined a room, and get a heartbeat every 20 s. The peer only accepts sockets,"
        " and Daphne pings them as often."
    ),
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
            why_missed=(
                "A bare Daphne with as many sockets takes nearly as much, for its own timeouts."
                " Most of the rest are the heartbeats that find vanished clients."
            ),
        ),
    ],
    quick={"connections": 500, "seconds": 3},
)

RESUMES = ["the same process", "another process, just started"]
RESUME = Case(
    "resume",
    "2,000 members drop, miss 200 messages, and all come back at once",
    (
        "Each member sends its last position and gets the missed messages. It connects to the same"
        " process as before, or to a process without members. The bare connects are as many"
        " connections at once that get their welcome and no more."
    ),
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
