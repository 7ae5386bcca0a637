"""Authentication by the first message, for clients that cannot authenticate by the handshake.

Until then, such a client has no identity, and gets no events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..conf import config
from ..wire.codecs import Codec, Decoded, Part, byte_size
from ..wire.commands import Auth
from ..wire.decoder import Decoder
from ..wire.errors import CloseCode, CommandError, Disconnect, ErrorCode

__all__ = ["FirstMessage"]

FRAME_BYTES = 4096
REFUSALS = 3
"""So many other commands are answered; the next one ends the connection."""


class FirstMessage:
    """Waits for an `auth` with a token."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[Any]],
        codec: Codec,
        decoder: Decoder,
        answer: Callable[[CommandError], None],
    ) -> None:
        self._receive = receive
        self._codec = codec
        self._decoder = decoder
        self._answer = answer
        self._refused = 0

    async def wait(self) -> tuple[Auth, Iterator[Part]] | None:
        """Return the command and the rest of its frame, or None if the client has gone.

        The rest of the frame is not decoded yet.

        Raises `Disconnect` with `UNAUTHENTICATED` after `AUTH_SECONDS`, for a frame of more than
        4 KiB, and after too many other commands.
        """
        try:
            async with asyncio.timeout(config().auth_seconds):
                while (event := await self._receive())["type"] != "websocket.disconnect":
                    if found := self._read(event.get("bytes") or event.get("text") or ""):
                        return found
        except TimeoutError:
            raise Disconnect(CloseCode.UNAUTHENTICATED) from None
        return None

    def _read(self, frame: str | bytes) -> tuple[Auth, Iterator[Part]] | None:
        if byte_size(frame, FRAME_BYTES) > FRAME_BYTES:
            raise Disconnect(CloseCode.UNAUTHENTICATED)
        parts = iter(self._codec.parts(frame))
        for part in parts:
            one = self._codec.command(part, self._decoder)
            if isinstance(one, Auth) and one.token is not None:
                return one, parts
            self._refuse(one)
        return None

    def _refuse(self, one: Decoded) -> None:
        self._refused += 1
        if self._refused > REFUSALS:
            raise Disconnect(CloseCode.UNAUTHENTICATED)
        if not isinstance(one, CommandError):
            message = _("Send `auth` with a token first.")
            one = CommandError(ErrorCode.NOT_AUTHENTICATED, message, ref=one.ref)
        self._answer(one)
