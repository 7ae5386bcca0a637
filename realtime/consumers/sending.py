"""What a consumer sends to its client, from the event loop or from a thread."""

import asyncio
from collections.abc import Callable
from typing import Any

from channels.consumer import AsyncConsumer

from ..engine.connections.connection import Connection
from ..engine.connections.outbox import Outbox
from ..engine.connections.phase import Phase
from ..engine.engine import Engine
from ..wire.codecs import RAW
from ..wire.costs import REPLY_BYTES
from ..wire.errors import CloseCode, Disconnect
from ..wire.events import Outgoing
from ..wire.packet import Packet

__all__ = ["Sending"]

NORMAL = 1000
"""The close code of a connection that has done its work (RFC 6455, section 7.4.1)."""
OWN_CODES = (range(4400, 4500), range(4900, 5000))
"""The close codes of an application: clients of the protocol come back, or do not."""
RAW_CODES = (range(3000, 5000),)
"""The close codes that a site may give to a raw client."""


class Sending(AsyncConsumer):
    """The methods of a consumer that send; they do not wait for the client."""

    engine: Engine
    connection: Connection

    @property
    def outbox(self) -> Outbox:
        """The sending half of the connection."""
        return self.connection.outbox

    def send(self, data: Any) -> None:
        """Send data to this client alone.

        A client of protocol v1 gets a dict or a struct, in its encoding. A raw client gets text and
        bytes as they are, and any other JSON data as text. It may be called from any thread.
        """
        frame = self.connection.codec.encode_data(data)
        self._in_loop(self.outbox.send, frame)

    def close(self, code: int = NORMAL, reason: object = "") -> None:
        """Close the connection, with a `disconnect` event; it may be called from any thread.

        `code` is 1000, 4400-4499, 4900-4999 or a `CloseCode`; for a raw client also 3000-4999.
        `reason` is a sentence for people.
        """
        if not self._may_close_with(code):
            raise ValueError(
                f"{code} is no close code for a site: write 1000, or a number from 4400 to 4499 "
                "(clients come back) or from 4900 to 4999 (they do not)."
            )
        self._in_loop(self.end, Disconnect(code, reason or None))

    def end(self, why: Disconnect) -> None:
        """Close the connection from outside of its task, with a `disconnect` event."""
        self.connection.close(why)

    def reply(self, outgoing: Outgoing) -> None:
        """Send a reply or event to this client alone."""
        self.connection.outbox.reply(outgoing)

    def reply_paid(self, outgoing: Outgoing, allowance: str) -> None:
        """Send a reply that may be large, and charge its bytes to an allowance."""
        size = self.reply_large(outgoing)
        self.engine.limits.owe(self.connection, allowance, size / REPLY_BYTES)

    def reply_large(self, outgoing: Outgoing) -> int:
        """Send what may be large to a client that has read the rest; return its size."""
        frame = self.connection.codec.encode(outgoing)
        self.outbox.post(Packet([frame]), is_requested=True)
        return len(frame)

    async def until_replied(self) -> None:
        """Wait until each command has its reply; override it for replies that come later."""

    async def pace(self) -> bool:
        """Wait until the client has read what it was sent, and let other connections go on.

        Returns whether the connection is still open.
        """
        self.engine.watchdog.finish(self.connection)  # it is the client that takes so long
        if not self.outbox.is_free:
            self.connection.stop_reading()
            await self.outbox.until_free()
        await asyncio.sleep(0)
        return self.connection.phase is Phase.OPEN

    def _may_close_with(self, code: int) -> bool:
        if code == NORMAL or code in CloseCode.__members__.values():
            return True
        ranges = RAW_CODES if self.connection.codec is RAW else OWN_CODES
        return any(code in some for some in ranges)

    def _in_loop(self, act: Callable[..., object], *given: Any) -> None:
        """Call a function in the event loop of the connection; now, if that is the running one."""
        try:
            is_inside = asyncio.get_running_loop() is self.engine.loop
        except RuntimeError:
            is_inside = False
        if is_inside:
            act(*given)
        else:
            self.engine.loop.call_soon_threadsafe(act, *given)
