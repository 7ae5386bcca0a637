"""The name that a struct has on the wire, made from the name of its class."""

import re

__all__ = ["name_of", "snake"]

WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The places where the next word of a class name begins."""


def snake(name: str) -> str:
    """Return a class name in snake case: `JoinGame` is `join_game`, `HTTPError` is `http_error`."""
    return WORD.sub("_", name).lower()


def name_of(struct: type) -> str:
    """Return the name of a struct of a topic: its `__wire_name__`, or its class in snake case."""
    found: str = getattr(struct, "__wire_name__", None) or snake(struct.__name__)
    return found
