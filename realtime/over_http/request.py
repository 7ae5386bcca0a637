"""The request of a client: how it wants its reply, and whose page it is."""

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .refusal import Refusal

__all__ = ["CONTENT_TYPE", "POLL_SECONDS", "Mode", "Request", "header_of"]

CONTENT_TYPE = "application/x-ndjson"
POLL_SECONDS = 25.0
"""The longest time that a request waits for events."""
MOST_DIGITS = 10
USER_CHARACTERS = 1000
"""The longest `X-Realtime-User` that is examined."""
CONNECTION_CHARACTERS = 100
"""The same for `X-Realtime-Connection`."""
NO_ORIGIN = _("A request with a cookie needs the Origin of its page.")
BAD_WAIT = _("Write `wait` as seconds, from 1 to {most}.", most=int(POLL_SECONDS))


class Mode(Enum):
    """How a client gets its frames."""

    COMMANDS = "commands"
    """All at once, as soon as each command has its reply."""
    POLL = "poll"
    """All at once, with the first events."""
    STREAM = "stream"
    """As they come, as Server-Sent Events."""


@dataclass(slots=True)
class Request:
    """What the address and the headers of a request say."""

    mode: Mode
    seconds: float
    """The longest time that a poll waits."""
    user_id: str | None
    """The user for whom the page was made; None if the client does not say it."""
    sender: str = ""
    """The connection that gets the events of the page, but not those that it causes itself."""

    @classmethod
    def of(cls, scope: dict[str, Any]) -> "Request":
        """Read the address and the headers; raise `Refusal` for a mistake."""
        if header_of(scope, b"cookie") and not header_of(scope, b"origin"):
            raise Refusal(HTTPStatus.FORBIDDEN, ErrorCode.PERMISSION_DENIED, NO_ORIGIN)
        query = parse_qs(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
        user = header_of(scope, b"x-realtime-user")[:USER_CHARACTERS]
        sender = header_of(scope, b"x-realtime-connection")[:CONNECTION_CHARACTERS]
        return cls(_mode(query), _seconds(query), unquote(user) if user else None, sender)


def _mode(query: dict[str, list[str]]) -> Mode:
    if "stream" in query:
        return Mode.STREAM
    return Mode.POLL if "wait" in query else Mode.COMMANDS


def _seconds(query: dict[str, list[str]]) -> float:
    [text] = query.get("wait", ["25"])[:1]
    is_number = text.isascii() and text.isdigit() and len(text) < MOST_DIGITS
    if not is_number or not 1 <= int(text) <= POLL_SECONDS:
        raise Refusal(HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_MESSAGE, BAD_WAIT)
    return float(text)


def header_of(scope: dict[str, Any], name: bytes) -> str:
    """Return the value of a header; empty if there is none."""
    found = [value for key, value in scope.get("headers", ()) if key == name]
    return b",".join(found).decode("latin1")
