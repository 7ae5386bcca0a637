"""The name that a struct has on the wire, made from the name of its class."""

import re

__all__ = ["snake"]

WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The places where the next word of a class name begins."""


def snake(name: str) -> str:
    """Return a class name in snake case: `JoinGame` is `join_game`, `HTTPError` is `http_error`."""
    return WORD.sub("_", name).lower()
