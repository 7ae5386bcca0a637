"""The examples that the index lists; each is an app with a page of the same name."""

from typing import NamedTuple

__all__ = ["EXAMPLES", "Example"]


class Example(NamedTuple):
    """One example: the name of its app and page, its title, and what it shows."""

    name: str
    title: str
    shows: str


EXAMPLES = [
    Example("echo", "Echo", "A consumer of ten lines that sends text and bytes back."),
    Example("batch", "Batch", "A consumer that handles many texts at once, in batches."),
]
