"""Topics: how fast a site publishes, and how soon the subscribers get it."""

from .case import COST, RATE, Case, Entry, Target, ratio
from .fanout import CORE_DAPHNE

__all__ = ["BURST", "CONSUMER", "PUBLISH", "TELL", "TOPICS", "VALUES"]

TOLD = "told_per_second"
PUBLISHED = "events_per_second"
ONE = {"writers": 1, "in_transaction": True, "work_seconds": 0}
MANY = {"writers": 50, "publishers": 2, "in_transaction": True, "work_seconds": 0.003}
TWO_CORES = (
    "The event is one more row, and a thread of the process numbers and sends it. PostgreSQL, Redis"
    " and the subscribers share the two cores with both, so an event costs as much as the"
    " transaction."
)
PUBLISH = Case(
    "publish",
    "Processes without sockets publish to 10 topics with a subscriber each",
    (
        "Each transaction writes a row of the site, and the event that tells of it; with 50 writers"
        " it also takes 3 ms of its own. The writers are threads, those of 50 in two processes."
        " All events come to a subscriber, in order."
    ),
    "publish",
    {"topics": 10, "members": 1, "observers": 1},
    [
        Entry("daphne-topics", "feed", "1 writer, no event", {"kind": "nothing", **ONE}),
        Entry("daphne-topics", "feed", "1 writer", {"kind": "topic", **ONE}),
        Entry("daphne-topics", "feed", "50 writers, no event", {"kind": "nothing", **MANY}),
        Entry("daphne-topics", "feed", "50 writers", {"kind": "topic", **MANY}),
        Entry(
            "daphne-topics",
            "feed",
            "50 writers, one topic",
            {"kind": "topic", **MANY, "topics": 1},
        ),
        Entry(
            "daphne-topics",
            "feed",
            "1 writer, no transaction",
            {"kind": "topic", "writers": 1, "in_transaction": False},
        ),
        Entry(
            "daphne-topics",
            "feed",
            "50 writers, no transaction",
            {"kind": "topic", "writers": 50, "publishers": 2, "in_transaction": False},
        ),
    ],
    [PUBLISHED, TOLD, "p50_ms", "p99_ms"],
    [
        Target(
            f"{writers}: transactions a second, to those without an event",
            0.5,
            ratio(writers, f"{writers}, no event", PUBLISHED),
            why_missed=TWO_CORES,
        )
        for writers in ("1 writer", "50 writers")
    ],
    chart=PUBLISHED,
)

ONE_STATEMENT_EACH = (
    "Each call is a statement of its own: two thirds of the time, the writer waits for the"
    " database. `publish_many` stores all by one statement."
)
WAYS = {
    "1,000 events in a transaction": ("feed", "topic", 1000, True),
    "publish_many of 1,000 events": ("feed", "many", 1000, False),
    "a topic that keeps nothing": ("flash", "flash", 1, False),
    "push.room().send()": ("signal", "push", 1, False),
}
BURST = Case(
    "burst",
    "One thread of a process without sockets publishes as fast as it can",
    (
        "Each event comes to one subscriber, in order. The first two ways store the events; the"
        " last two send them once, and the rate is that at which the channel layer accepts them."
    ),
    "publish",
    {"topics": 2, "members": 1, "observers": 1, "writers": 1},
    [
        Entry(
            "daphne-topics",
            dialect,
            way,
            {"kind": kind, "at_once": at_once, "in_transaction": in_transaction},
        )
        for way, (dialect, kind, at_once, in_transaction) in WAYS.items()
    ],
    [PUBLISHED, TOLD],
    [
        Target(
            f"{way}, a second",
            5000,
            lambda figures, way=way: figures[way][PUBLISHED],
            why_missed=ONE_STATEMENT_EACH if at_once > 1 else "",
        )
        for way, (_, _, at_once, _) in WAYS.items()
    ],
    chart=PUBLISHED,
)

SINGLY = {"kind": "topic"}
GROUP = {"kind": "group"}
NDJSON = "realtime, Daphne, ndjson"
TELL = Case(
    "tell",
    "A process without sockets publishes to 200 subscribers: from the call to the last of them",
    (
        "One thread publishes; first as fast as it can with at most 64 on their way, then at half"
        " of that rate, of which the latencies are. Our events are stored and numbered on the way;"
        " those of the peers are not stored."
    ),
    "tell",
    {
        "topics": 1,
        "members": 200,
        "observers": 200,
        "writers": 1,
        "in_transaction": False,
        "outstanding": 64,
        "pace": 0.5,
    },
    [
        Entry("daphne-topics", "feed", "realtime, Daphne", SINGLY),
        Entry("daphne-topics", "ndjson-feed", NDJSON, SINGLY),
        Entry("stock-daphne", "stock", CORE_DAPHNE, GROUP),
        Entry("stock-pubsub-daphne", "stock", "Channels chat, pubsub layer, Daphne", GROUP),
        Entry("python-socketio", "socketio", "python-socketio, uvicorn", {"kind": "socketio"}),
    ],
    [TOLD, "paced_per_second", "p50_ms", "p99_ms", COST],
    [
        Target(
            f"{label}: p99 at half of the most, ms",
            25,
            lambda figures, label=label: figures[label]["p99_ms"],
            is_at_most=True,
        )
        for label in ("realtime, Daphne", NDJSON)
    ],
    quick={"members": 50, "observers": 50},
    chart="p99_ms",
)

TUTORIAL = "three lines changed"
STORED = "three lines changed, stored"
STOCK = "the tutorial's"
IN_TURN = (
    "The consumer handles the frames of one client in turn, so each event is a round of its own:"
    " 200 writes, which take 2 ms. What is stored waits for a commit of its own, too. The events of"
    " several senders share rounds and commits."
)
SENDERS = {"1 sender": {"senders": 1, "outstanding": 64}, "64 senders": {"senders": 64}}
CONSUMER = Case(
    "consumer",
    "The consumer of the Channels tutorial on Daphne as it is, and with three lines changed",
    (
        "The tutorial's sends to a group of the channel layer (core), the other one, of"
        " [Channels](channels.md), publishes to a topic."
        " Of 200 members, one has 64 messages on their way, or 64 have one each."
        " A message has arrived when another member has it."
    ),
    "fanout",
    {"members": 200, "outstanding": 1},
    [
        Entry(contender, dialect, f"{label}, {senders}", options)
        for senders, options in SENDERS.items()
        for contender, dialect, label in (
            ("daphne-topics", "tutorial", TUTORIAL),
            ("daphne-topics", "kept-tutorial", STORED),
            ("stock-daphne", "stock", STOCK),
        )
    ],
    [RATE, COST, "p50_ms", "p99_ms"],
    [
        Target(
            f"{label}, {senders}, to the tutorial's",
            50,
            ratio(f"{label}, {senders}", f"{STOCK}, {senders}", RATE),
            why_missed=IN_TURN,
        )
        for senders in SENDERS
        for label in (TUTORIAL, STORED)
    ],
    quick={"members": 100},
    chart=RATE,
)

KEYS = 100_000
VALUES = Case(
    "values",
    "100,000 keyed values in one topic: 10 clients page them while 1,000 a second are set",
    (
        "The clients subscribe at once, and get all values in pages and then each change. A process"
        " without sockets sets the values, 100 in a transaction. In the end each client must have"
        " exactly the values of the database; each value that it has wrong is a fault."
    ),
    "values",
    {
        "keys": KEYS,
        "topics": 1,
        "members": 10,
        "writers": 1,
        "rate": 1000,
        "in_transaction": True,
        "at_once": 100,
        "text_bytes": 20,
        "seconds": 30,
    },
    [Entry("daphne-topics", "json", "realtime, Daphne")],
    ["page_seconds", "pages", PUBLISHED, "cpu_percent", "memory_mib"],
    [
        Target(
            "values set a second meanwhile",
            980,
            lambda figures: figures["realtime, Daphne"][PUBLISHED],
        )
    ],
    quick={"keys": 2000, "seconds": 5},
)

NUMBERS = [100, 10_000, 50_000]
TOPICS = Case(
    "topics",
    "Up to 50,000 topics with one subscriber each on one process, and nothing happens",
    (
        "Each connection subscribes to 100 topics, each of which has a log. A client pings the"
        " server every 5 ms over several pulses: the longest time until the answer is how long they"
        " hold the event loop. Memory is what the subscriptions add to the open connections."
    ),
    "topics",
    {"warm_up": 3, "seconds": 16},
    [
        Entry("daphne-topics", "json", f"{number:,} topics", {"topics": number}, number)
        for number in NUMBERS
    ],
    ["longest_ms", "p50_ms", "p99_ms", "cpu_percent", "kib_per_topic", "subscribes_per_second"],
    [],
    quick={"warm_up": 1, "seconds": 6},
    chart="longest_ms",
    axis="topics",
)
