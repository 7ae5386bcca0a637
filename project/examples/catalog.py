"""The examples that the index lists; each is an app with a page of the same name."""

from typing import NamedTuple

__all__ = ["EXAMPLES", "Example"]


class Example(NamedTuple):
    """One example: the name of its app and page, its title, what it shows, and its socket."""

    name: str
    title: str
    shows: str
    socket: str = ""
    """The end of the socket's path; empty for the socket of the chat, which has all topics."""
    source: str = "topics"
    """The module that its page in docs shows."""


EXAMPLES = [
    Example(
        "echo",
        "Echo",
        "A consumer of ten lines that sends text and bytes back.",
        socket="echo/",
        source="consumers",
    ),
    Example(
        "batch",
        "Batch",
        "A consumer that handles many texts at once, in batches.",
        socket="batch/",
        source="consumers",
    ),
    Example("game", "Game", "Noughts and crosses for two players, and for all who watch."),
    Example("board", "Board", "A board with notes that are kept, and cursors that are not."),
    Example("dashboard", "Dashboard", "Thousands of values a second; pages get the latest."),
    Example(
        "telemetry",
        "Telemetry",
        "Devices with tokens report single values, which are stored in batches.",
        source="consumers",
    ),
    Example("orders", "Orders", "A model whose changes are published when they are committed."),
]
