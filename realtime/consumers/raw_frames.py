"""The frames of a client that does not speak protocol v1: each goes to `on_text` or `on_bytes`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..conf import config
from ..counts import counts
from ..wire.codecs import byte_size
from ..wire.errors import CloseCode, CommandError, Disconnect
from ..wire.packet import Packet
from ..wire.text import Text as _
from .execution import OBJECT_BYTES, OPEN, Execution
from .handlers import Handler

if TYPE_CHECKING:
    from .base import Consumer

__all__ = ["RawFrames"]

Frame = str | bytes
ONLY_TEXT = _("This connection takes only text frames.")
ONLY_BYTES = _("This connection takes only binary frames.")


class RawFrames(Execution[Frame]):
    """Executes the raw frames of one connection for its consumer.

    There is no `error` that every client understands, so a client beyond its allowance is not
    refused but read more slowly, and a frame that cannot be handled ends the connection.
    """

    __slots__ = ("_handlers",)

    def __init__(self, consumer: "Consumer") -> None:
        super().__init__(consumer)
        self._handlers = consumer.raw_handlers

    async def execute(self, frame: Frame) -> None:
        """Execute a frame; raise `Disconnect` if it is too large or of the wrong kind."""
        limit = config().frame_bytes
        if (size := byte_size(frame, limit)) > limit:
            raise _too_large()
        if (trace := self._connection.trace) is not None:
            trace.received_as("text" if isinstance(frame, str) else "bytes", size)
        handler = self._handler_of(frame)
        await self._yield(max(self._pay(OBJECT_BYTES + size), self._pay_cost(handler)))
        if self._connection.phase is not OPEN:
            return
        counts.commands += 1
        if handler.batching is not None:
            await self._gather(handler, handler.batching, frame)
            return
        await self.flush()  # it came before this frame
        if await self._wait_for_client():
            await self._attempt(self._handle(handler, frame), (frame,))

    def refuse_large(self) -> None:
        """Close the connection: a frame was too large to be read."""
        self._connection.close(_too_large())

    def _handler_of(self, frame: Frame) -> Handler:
        text, binary = self._handlers
        handler = text if isinstance(frame, str) else binary
        if handler is None:
            why = ONLY_BYTES if text is None else ONLY_TEXT
            raise Disconnect(CloseCode.TOO_MANY_ERRORS, why)
        return handler

    def _pay_cost(self, handler: Handler) -> float:
        """Charge the allowance of the handler; return the seconds to pause, or 0."""
        cost = handler.cost
        if not cost.fixed:
            return 0.0
        return self._engine.limits.owe(self._connection, cost.allowance, cost.fixed)

    def _about(self, items: Sequence[Frame]) -> tuple[str, str]:
        return "frame", ""

    async def _handle(self, handler: Handler, frame: Frame) -> None:
        self._answer([await handler.method(self._consumer, frame)])

    async def _handle_batch(self, handler: Handler, items: list[Frame]) -> None:
        replies = await handler.method(self._consumer, items)
        self._answer(replies if isinstance(replies, list) else [replies])

    def _answer(self, replies: Sequence[Any]) -> None:
        encode = self._connection.codec.encode_data
        frames = [encode(reply) for reply in replies if reply is not None]
        if frames:
            self._connection.outbox.post(Packet(frames), is_requested=True)

    def _refuse(self, items: Sequence[Frame], error: CommandError) -> None:
        for _item in items:
            self._connection.refuse(error)


def _too_large() -> Disconnect:
    limit = config().frame_bytes
    why = _("A frame may have at most {number} bytes.", number=limit)
    return Disconnect(CloseCode.TOO_MANY_ERRORS, why)
