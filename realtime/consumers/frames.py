"""The frames of a client: each object of a frame is charged, decoded and executed, in order."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..conf import config
from ..counts import counts
from ..engine.connections.phase import Phase
from ..wire.codecs import Part, byte_size
from ..wire.commands import COMMANDS, Auth, Call, Command, Ping, Pong
from ..wire.costs import Cost
from ..wire.decoder import Decoded, tag_of
from ..wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ..wire.ratelimit import Bucket
from ..wire.text import Text as _
from .execution import OBJECT_BYTES, OPEN, Execution
from .handlers import Handler

if TYPE_CHECKING:
    from .base import Consumer

__all__ = ["Frames"]

BAD_FRAMES = 5
"""So many bad frames in a row end a connection."""
BAD_OBJECTS = 5
"""After so many bad commands, the rest of a frame is not read."""
PONG_BYTES = 1024
"""A larger frame is not read ahead."""
REFUSAL_BYTES = 256
"""The cost of a refusal, in bytes of the allowance."""
SLOW_SECONDS, SECOND_BYTES = 0.0005, 16 * 1024 * 1024
"""Slower decoding is also charged by its time: so many bytes a second."""
REFUSALS_PER_SECOND, REFUSALS_BURST = 5, 100
"""How often a client may exceed a limit, or send something invalid, before it is closed."""
RATE_LIMITED_SECONDS = 5.0
"""The least `retry_after` of a client that is closed for that reason."""
TOO_FAST = _("Too many commands at once. Wait a little.")
REST_UNREAD = _(
    "After {number} bad commands, the rest of the frame is not read.", number=BAD_OBJECTS
)


class Frames(Execution[Command]):
    """Executes the frames of one connection for its consumer."""

    __slots__ = ("_bad_frames", "_codec", "_commands", "_refusals")

    def __init__(self, consumer: "Consumer") -> None:
        super().__init__(consumer)
        self._codec = self._connection.codec
        self._commands = consumer.commands
        self._refusals = Bucket(REFUSALS_PER_SECOND, REFUSALS_BURST, self._engine.loop.time())
        self._bad_frames = 0

    async def execute(self, frame: str | bytes) -> None:
        """Execute the commands of a frame; raise `Disconnect` after too many bad frames."""
        limit = config().frame_bytes
        if byte_size(frame, limit) > limit:
            await self.execute_parts((_too_large(),))
        else:
            await self.execute_parts(self._codec.parts(frame))

    async def execute_parts(self, parts: Iterable[Part]) -> None:
        """Charge, decode and execute the objects of a frame, one after the other."""
        most, bad = config().commands_per_frame, 0
        for number, part in enumerate(parts):
            await self._yield(self._pay_for(part))
            if self._connection.phase is not OPEN:  # as the commands of further frames
                return
            decoded = self._decode(part) if number < most else _too_many(most)
            if (trace := self._connection.trace) is not None:
                trace.received(decoded, _size(part))
            if isinstance(decoded, CommandError):
                bad += 1
                self._answer_bad(decoded, bad)
            else:
                counts.commands += 1
                await self._execute(decoded)
            if number >= most or bad >= BAD_OBJECTS:
                break
        self._bad_frames = self._bad_frames + 1 if bad else 0
        if self._bad_frames >= BAD_FRAMES:
            raise Disconnect(CloseCode.TOO_MANY_ERRORS)

    def read_ahead(self, event: Any) -> None:
        """Accept a `pong` before its turn: a command may wait for what it acknowledges."""
        frame = event.get("bytes") or event.get("text") or ""
        name = "pong" if isinstance(frame, str) else b"pong"
        if len(frame) <= PONG_BYTES and name in frame:
            for command in self._codec.decode(frame):
                if isinstance(command, Pong):
                    self._connection.outbox.acknowledge(command.t)

    def refuse_large(self) -> None:
        """Refuse a frame that was too large to be read, as a bad frame."""
        self._bad_frames += 1
        self._connection.refuse(_too_large())
        if self._connection.phase is Phase.AUTHENTICATING:
            self._connection.close(Disconnect(CloseCode.UNAUTHENTICATED))
        elif self._bad_frames >= BAD_FRAMES:
            self._connection.close(Disconnect(CloseCode.TOO_MANY_ERRORS))

    async def _execute(self, command: Command) -> None:
        handler = self._commands[type(command)]
        try:
            self._limit(*self._consumer.charge_for(command, handler.cost))
        except CommandError as error:
            self._consumer.refuse(command, error)
            return
        if handler.batching is not None:
            await self._gather(handler, handler.batching, command)
            return
        if self._batch is not None and not isinstance(command, Ping | Pong):
            await self.flush()  # it came before this command
        if not handler.cost.is_reply_charged or await self._wait_for_client():
            await self._attempt(self._consumer.handle(command), (command,))

    def _about(self, items: Sequence[Command]) -> tuple[str, str] | None:
        command = items[0]
        if isinstance(command, Ping | Pong | Call):  # a call has its span when its turn comes
            return None
        name, place = tag_of(type(command)), None
        if COMMANDS.get(name) is type(command):  # fields of a site's own command may be any text
            place = getattr(command, "room", None) or getattr(command, "topic", None)
        return name, place or ""

    async def _handle_batch(self, handler: Handler, items: list[Command]) -> None:
        await self._consumer.handle_batch(handler, items)

    def _refuse(self, items: Sequence[Command], error: CommandError) -> None:
        for command in items:
            self._consumer.refuse(command, error)

    def _fail(self, items: Sequence[Command], error: Exception) -> None:
        if any(isinstance(command, Auth) for command in items):
            raise error  # it is not certain which user the client is now
        super()._fail(items, error)

    def _limit(self, command: Struct, cost: Cost) -> None:
        limits = self._engine.limits
        if wait := limits.charge(self._connection, cost.allowance, cost.of(command)):
            self._count_refusal()
            if not cost.is_never_refused:
                raise CommandError(ErrorCode.RATE_LIMITED, TOO_FAST, retry_after=wait)

    def _count_refusal(self) -> None:
        """Charge a refusal; raise `Disconnect` after too many of them."""
        self._pay(REFUSAL_BYTES)
        if wait := self._refusals.spend(self._engine.loop.time()):
            raise Disconnect(CloseCode.RATE_LIMITED, retry_after=max(wait, RATE_LIMITED_SECONDS))

    def _decode(self, part: Part) -> Decoded:
        began = time.perf_counter()
        decoded = self._codec.command(part, self._consumer.commands.decoder)
        took = time.perf_counter() - began
        if took > SLOW_SECONDS:
            self._pay(took * SECOND_BYTES)
        return decoded

    def _answer_bad(self, error: CommandError, bad: int) -> None:
        self._count_refusal()
        if bad == BAD_OBJECTS:
            translate = self._connection.translate
            error.text = f"{translate(error.text)} {translate(REST_UNREAD)}"
        self._connection.refuse(error)

    def _pay_for(self, part: Part) -> float:
        """Charge an object before it is decoded; return the seconds to pause, or 0."""
        return self._pay(OBJECT_BYTES + _size(part))


def _size(part: Part) -> int:
    return 0 if isinstance(part, CommandError) else byte_size(part, config().frame_bytes)


def _too_many(most: int) -> CommandError:
    message = _(
        "A frame may have at most {number} commands. The rest of it is not read.", number=most
    )
    return CommandError(ErrorCode.TOO_LARGE, message)


def _too_large() -> CommandError:
    message = _("A frame may have at most {number} bytes.", number=config().frame_bytes)
    return CommandError(ErrorCode.TOO_LARGE, message)
