"""The findings of an examination."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

__all__ = ["Examination", "Finding", "bad", "good", "warned"]

Level = Literal["good", "warning", "error"]


class Finding(NamedTuple):
    """One thing that is right or wrong, and how to mend it."""

    subject: str
    level: Level
    text: str
    mend: str = ""


Examination = Callable[[], Iterator[Finding]]


def good(subject: str, text: str) -> Finding:
    """Return a finding that something is right."""
    return Finding(subject, "good", text)


def warned(subject: str, text: str, mend: str) -> Finding:
    """Return a finding of something that may become wrong."""
    return Finding(subject, "warning", text, mend)


def bad(subject: str, text: str, mend: str) -> Finding:
    """Return a finding that something is wrong."""
    return Finding(subject, "error", text, mend)
