"""Connections whose client sends all its frames first, and then receives: an HTTP request is one.

What presents such a connection to a consumer says so in the ASGI scope.
"""

from enum import Enum
from typing import Any

__all__ = ["END_OF_INPUT", "SENDER", "OneWay"]

KEY = "realtime.one_way"
SENDER = "realtime.sender"
END_OF_INPUT = {"type": "realtime.end_of_input"}
"""The event after the last frame of a client: the connection ends once all is replied to."""


class OneWay(Enum):
    """The two kinds of a connection whose client sends all its frames first."""

    STREAM = "stream"
    """It is a connection as any other, which gets events; but the client cannot be pinged."""
    BRIEF = "brief"
    """It ends with the replies to its frame, whose commands need no join. It gets no events."""

    @classmethod
    def of(cls, scope: dict[str, Any]) -> "OneWay | None":
        """Return what a scope says; None for a socket."""
        return scope.get(KEY)

    def put(self, scope: dict[str, Any], sender: str = "") -> None:
        """Say it in a scope, and which other connection gets the events of the same client."""
        scope[KEY] = self
        scope[SENDER] = sender
