"""The commands of a request, read one frame at a time."""

import asyncio
from http import HTTPStatus
from typing import Any

from ..conf import config
from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .refusal import Refusal
from .request import Mode, header_of

__all__ = ["Body"]

BODY_SECONDS = 10.0
"""The longest time in which a client may send a frame."""
STREAM_FRAMES = 16
"""A stream begins with all rooms and topics of its client, which may be more than one frame."""
NOT_TEXT = _("Send the commands as UTF-8.")
TOO_SLOW = _("The commands were not sent in time.")


class Body:
    """Reads a body as frames, each of which a socket might have brought.

    Only one frame is in memory, and what the server has passed on with it. Commands have one frame.
    """

    def __init__(self, scope: dict[str, Any], receive: Any, mode: Mode) -> None:
        self._receive = receive
        self._frame_bytes = config().frame_bytes
        self._is_one = mode is not Mode.STREAM
        self._most = self._frame_bytes * (1 if self._is_one else STREAM_FRAMES)
        self._size = 0
        self._rest = bytearray()
        self._has_more = True
        announced = header_of(scope, b"content-length")
        if announced.isascii() and announced.isdigit():
            self._check_size(int(announced[:18]))

    async def next(self) -> str | None:
        """Return the next frame, which is empty at the end; None if the client has gone.

        Raises `Refusal` for too many bytes, for other bytes than UTF-8, and for a slow client.
        """
        try:
            async with asyncio.timeout(BODY_SECONDS):
                is_here = await self._read()
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, ErrorCode.UNAVAILABLE, TOO_SLOW) from None
        try:
            return self._cut().decode() if is_here else None
        except UnicodeDecodeError:
            raise Refusal(HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_JSON, NOT_TEXT) from None

    async def _read(self) -> bool:
        """Read at least one frame, or all; return whether the client is still there."""
        while self._has_more and len(self._rest) <= self._frame_bytes:
            event = await self._receive()
            if event["type"] != "http.request":
                return False
            data = event.get("body", b"")
            self._check_size(self._size + len(data))
            self._size += len(data)
            self._rest += data
            self._has_more = bool(event.get("more_body"))
        return True

    def _cut(self) -> bytes:
        """Take the next frame."""
        size = len(self._rest) if self._is_one else self._frame_size()
        frame = bytes(self._rest[:size])
        del self._rest[:size]
        return frame

    def _frame_size(self) -> int:
        """Return the size of as many commands as one frame may have."""
        if len(self._rest) <= self._frame_bytes:
            size = len(self._rest)
        elif not (size := self._rest.rfind(b"\n", 0, self._frame_bytes) + 1):
            raise _too_large(self._frame_bytes)
        commands = config().commands_per_frame
        lines = self._rest[:size].split(b"\n", commands)
        return size - len(lines[commands]) if len(lines) > commands else size

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise _too_large(self._most)


def _too_large(most: int) -> Refusal:
    message = _("The commands of a request may have at most {number} bytes.", number=most)
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ErrorCode.TOO_LARGE, message)
