"""How fast one room is told, beside other servers."""

from collections.abc import Iterator

from .case import COST, RATE, Case, Entry, Target, growth, ratio

__all__ = ["CORE_DAPHNE", "FANOUT", "MEMBERS"]


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


ROW_BOUND = (
    "Sending costs so little that the message itself decides: its thread, its row and its"
    " acknowledgement cost as much as its 200 deliveries. PostgreSQL runs on the same two cores."
)
CORE_DAPHNE = "Channels chat, core layer, Daphne"
FANOUT = Case(
    "fanout",
    "One room of 200, texts of 100 bytes, one sender with 64 outstanding",
    (
        "Each text goes to all 200; the sender sends the next text when another member has received"
        " one. This package commits messages to PostgreSQL before it sends them; signals and the"
        " texts of the peers are not stored. With `ndjson` a frame holds several events under load;"
        " the Channels chat is that of the tutorial."
    ),
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
            why_missed=ROW_BOUND,
        ),
        Target(
            "Daphne, ndjson: stored messages to signals",
            0.8,
            ratio("realtime, Daphne, ndjson", "realtime, Daphne, ndjson, signals", RATE),
            why_missed=ROW_BOUND,
        ),
    ],
    quick={"members": 50},
    chart=RATE,
)

SIZES = [10, 50, 200, 1000, 3000]
MEMBERS = Case(
    "members",
    "The same with 10 to 3,000 members",
    (
        "One Daphne process, stored messages, rooms of different sizes. The cost of a delivery"
        " should not depend on the number of members."
    ),
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
