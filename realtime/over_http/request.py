"""The request of a client: how it wants its reply, whose page it is, and its commands."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from ..conf import config
from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .refusal import Refusal

__all__ = ["CONTENT_TYPE", "POLL_SECONDS", "Mode", "Request", "header_of", "read_commands"]

CONTENT_TYPE = "application/x-ndjson"
BODY_SECONDS = 10.0
"""The longest time in which a client may send its commands."""
POLL_SECONDS = 25.0
"""The longest time that a request waits for events."""
MOST_DIGITS = 10
USER_CHARACTERS = 1000
"""The longest `X-Realtime-User` that is examined."""
CONNECTION_CHARACTERS = 100
"""The same for `X-Realtime-Connection`."""
NO_ORIGIN = _("A request with a cookie needs the Origin of its page.")
BAD_WAIT = _("Write `wait` as seconds, from 1 to {most}.", most=int(POLL_SECONDS))
NOT_TEXT = _("Send the commands as UTF-8.")
TOO_SLOW = _("The commands were not sent in time.")


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


async def read_commands(scope: dict[str, Any], receive: Any) -> str | None:
    """Return the commands of a request as one frame; None if the client has gone.

    Raises `Refusal` for more than `FRAME_BYTES`, for other bytes than UTF-8, and for a slow client.
    """
    limit = config().frame_bytes
    announced = header_of(scope, b"content-length")
    if announced.isascii() and announced.isdigit():
        _check_size(int(announced[:18]), limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(receive, limit)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, ErrorCode.UNAVAILABLE, TOO_SLOW) from None
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        raise Refusal(HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_JSON, NOT_TEXT) from None


async def _read(receive: Any, limit: int) -> bytearray | None:
    body = bytearray()
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        _check_size(len(body), limit)
        if not event.get("more_body"):
            return body
    return None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        message = _("The commands of a request may have at most {number} bytes.", number=limit)
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        raise Refusal(status, ErrorCode.TOO_LARGE, message)


def header_of(scope: dict[str, Any], name: bytes) -> str:
    """Return the value of a header; empty if there is none."""
    found = [value for key, value in scope.get("headers", ()) if key == name]
    return b",".join(found).decode("latin1")
