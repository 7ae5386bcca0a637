"""The standard input of a command: UTF-8 text, whatever the locale of the terminal is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from .operation import wrong

__all__ = ["answer_to", "is_terminal", "standard_input"]


@contextmanager
def standard_input() -> Iterator[TextIO]:
    """Yield the standard input; what is no UTF-8 text is an error in the arguments."""
    if sys.stdin is None:
        raise wrong("There is no standard input.")
    buffer = getattr(sys.stdin, "buffer", None)
    file = sys.stdin if buffer is None else TextIOWrapper(buffer, encoding="utf-8")
    try:
        yield file
    except UnicodeDecodeError as error:
        raise wrong("The standard input is not UTF-8 text.") from error
    finally:
        if isinstance(file, TextIOWrapper) and buffer is not None:
            file.detach()


def is_terminal() -> bool:
    """Return whether a question can be answered."""
    return sys.stdin is not None and sys.stdin.isatty()


def answer_to(question: str) -> str:
    """Ask at the terminal, and return the answer in small letters; empty for an unreadable one."""
    try:
        return input(question).strip().lower()
    except (EOFError, UnicodeDecodeError):
        return ""
