"""Bound the input of one client before the server parses it: frames, bytes and time.

The allowances of commands apply later: by then a frame was parsed, queued and decoded, which costs
more. Control frames never get that far.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ...conf import Config, config
from ...wire.errors import CloseCode, Disconnect
from ...wire.ratelimit import Bucket
from ...wire.scanner import DISCARD_BYTES, Scanner
from ..servers import transport

__all__ = ["Intake"]

EXTRAS_PER_SECOND, EXTRAS_BURST = 20, 200
"""Control frames, small fragments and empty frames of one connection."""
REFUSALS_BURST = 100
"""The refused commands that a client may send before it is closed for its frames."""
MESSAGE_SECONDS = 20.0
"""The longest time from the first byte of a message to its last."""
PREPAID = 64
"""The frames that are charged to an allowance in advance, to read the clock less often."""
TURN_FRAMES = 64
"""After so many frames of a chunk, yield to the other connections."""
LATE_SECONDS = 1.0
"""A timer that is later than this shows that the event loop was blocked."""
CUT_SECONDS = 3.0
"""The longest time for the `disconnect` of a client that is closed for its input."""
LEAST_SECONDS = 5.0
"""The least `retry_after` of a client that has sent too many frames."""
HANDSHAKE, HANDLER, QUEUE, RATE, TURN, END = (
    "handshake",
    "handler",
    "queue",
    "rate",
    "turn",
    "end",
)
"""The reasons to pause reading."""
EARLY = _("Send nothing during the handshake.")
COMPRESSED = _("No compression was agreed to. Send frames without it.")
UNFINISHED = _("A message was not finished in time.")
TOO_LARGE = _("A message may have at most {number} bytes.")


class Intake:
    """Counts the input of one client, and pauses reading while too much waits for its handler.

    `end` is called once, with the reason, when the connection must close. `refuse` is called for
    each frame that is too large to be read.
    """

    FULL, DRAINED = 64, 8
    """Reading pauses beyond so many waiting messages, and resumes below so few."""
    WAITING_FRAMES = 2
    """The bytes that may wait, as a number of the largest frames."""

    __slots__ = (
        "_bytes",
        "_bytes_waiting",
        "_due",
        "_early",
        "_end",
        "_extras",
        "_frames",
        "_frames_waiting",
        "_is_cut",
        "_is_early",
        "_is_open",
        "_later",
        "_limit",
        "_loop",
        "_message",
        "_paid_bytes",
        "_paid_frames",
        "_pauses",
        "_receive",
        "_refuse",
        "_scanner",
        "_send",
        "_since",
        "_timer",
        "_turn_bytes",
    )

    def __init__(
        self,
        send: Any,
        end: Callable[[Disconnect], None],
        refuse: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        settings, now = config(), self._loop.time()
        self._limit = settings.frame_bytes
        self._send = send
        self._end = end
        self._refuse = refuse
        self._scanner = Scanner(self._limit, is_plain=transport.refuse_compression(send))
        self._extras = Bucket(EXTRAS_PER_SECOND, EXTRAS_BURST, now)
        self._frames = Bucket(*_frames(settings), now)
        self._bytes = Bucket(*_bytes(settings), now)
        self._paid_frames = self._paid_bytes = 0
        self._frames_waiting = self._bytes_waiting = 0
        self._early = self._later = b""
        self._turn_bytes = 1
        self._pauses: set[str] = set()
        self._is_open = self._is_cut = False
        self._since: float | None = None
        self._message = 0
        self._timer: asyncio.TimerHandle | None = None
        transport.limit_messages(send, self._limit)
        self._is_early = transport.has_early_input(send)
        self._receive = transport.intercept(send, self._pass)

    def open(self) -> None:
        """Let the server parse the input, once the handshake is accepted."""
        self._is_open = True
        early, self._early = self._early, b""
        if self._is_early:
            self._cut(Disconnect(CloseCode.TOO_MANY_ERRORS, EARLY))
        elif early and self._receive is not None:
            self._receive(early)
        self._resume(HANDSHAKE)

    def received(self) -> None:
        """Count one message as received by the handler."""
        if self._frames_waiting > 2:
            self._frames_waiting -= 1
        else:
            self._frames_waiting = max(0, self._frames_waiting - 1)
            self._bytes_waiting = 0
        if self._pauses:
            self.check()

    def check(self) -> None:
        """Resume reading if the handler has caught up."""
        if self._pauses:
            self._resume(HANDLER)
            if self._frames_waiting < self.DRAINED and self._bytes_waiting <= self._most_waiting:
                self._resume(QUEUE)

    def stop(self) -> None:
        """Pause reading until the next `check`."""
        self._pause(HANDLER)

    def close(self, *, is_gone: bool) -> None:
        """Stop the timer; the input of a connected client is still counted."""
        if self._timer is not None:
            self._timer.cancel()
        if is_gone:
            self._later = b""
            transport.release(self._send)

    @property
    def _most_waiting(self) -> int:
        return self.WAITING_FRAMES * self._limit

    # Input.

    def _pass(self, data: bytes) -> bytes:
        """Count a chunk of input; return the bytes that the server may parse now."""
        passed = self._count(data) if data else b""
        if self._later or self._scanner.frames > TURN_FRAMES:
            return self._in_turns(passed)
        return passed

    def _in_turns(self, passed: bytes) -> bytes:
        """Return the bytes of the first frames; the others follow in the next turns of the loop."""
        if self._is_cut:
            self._later = b""
            return b""
        if not self._later:
            self._turn_bytes = len(passed) * TURN_FRAMES // self._scanner.frames + 1
        waiting = self._later + passed
        self._later = waiting[self._turn_bytes :]
        if self._later:
            self._pause(TURN)
            self._loop.call_soon(self._pass_later)
        else:
            self._resume(TURN)
        return waiting[: self._turn_bytes]

    def _pass_later(self) -> None:
        if self._later and self._receive is not None:
            self._receive(b"")

    def _count(self, data: bytes) -> bytes:
        """Count a chunk of input; return the bytes that the server may parse at all."""
        if not self._is_open:
            self._early += data
            self._pause(HANDSHAKE)
            return b""
        if self._is_cut:
            return b""
        scanner, before = self._scanner, self._scanner.messages
        passed = scanner.feed(data, int(self._frames.burst), EXTRAS_BURST)
        if scanner.is_usual and self._is_paid(scanner.frames, len(data)):
            return passed
        now = self._loop.time()
        if wait := self._charge(now):
            self._cut(Disconnect(CloseCode.RATE_LIMITED, retry_after=max(wait, LEAST_SECONDS)))
            return b""
        self._refuse_large()
        self._throttle(now, len(data), scanner.messages - before - scanner.too_large)
        if scanner.is_unfinished or self._since is not None:
            self._time_unfinished(now)
        return passed

    def _is_paid(self, frames: int, size: int) -> bool:
        """Charge frames to the prepaid part of the allowances, while nothing waits."""
        if self._frames_waiting > 1 or self._paid_frames < frames or self._paid_bytes < size:
            return False
        self._paid_frames -= frames
        self._paid_bytes -= size
        self._frames_waiting += frames
        return True

    def _charge(self, now: float) -> float:
        """Charge the frames of a chunk to the allowances; return the seconds to wait, or 0."""
        frames, extras = self._scanner.frames, self._scanner.extras
        if extras and (wait := self._extras.spend(now, extras)):
            return wait
        if self._paid_frames < PREPAID and not self._frames.spend(now, frames + PREPAID):
            self._paid_frames += PREPAID
            return 0.0
        return self._frames.spend(now, frames)

    def _refuse_large(self) -> None:
        for _frame in range(self._scanner.too_large):
            self._refuse()
        if self._scanner.is_hopeless:
            self._refuse()
            why = format_lazy(TOO_LARGE, number=self._limit)
            self._cut(Disconnect(CloseCode.TOO_MANY_ERRORS, why))
        elif self._scanner.is_packed:
            self._cut(Disconnect(CloseCode.TOO_MANY_ERRORS, COMPRESSED))

    def _throttle(self, now: float, size: int, messages: int) -> None:
        """Pause reading if the client is beyond its allowance or ahead of its handler."""
        self._frames_waiting += messages
        if self._frames_waiting > 1:  # the last one may be unfinished
            self._bytes_waiting += size
            if self._frames_waiting > self.FULL or self._bytes_waiting > self._most_waiting:
                self._pause(QUEUE)
        if self._paid_bytes < self._limit and not self._bytes.spend(now, size + self._limit):
            self._paid_bytes += self._limit
        elif wait := self._bytes.spend(now, size):
            self._pause(RATE)
            self._loop.call_later(wait, self._resume, RATE)

    def _cut(self, why: Disconnect) -> None:
        self._is_cut = True
        self._pause(END)
        self._end(why)
        # The client's close frame is no longer read, and a server may wait for it.
        self._loop.call_later(CUT_SECONDS, transport.abort, self._send)

    # Unfinished messages.

    def _time_unfinished(self, now: float) -> None:
        if not self._scanner.is_unfinished:
            self._since = None
            return
        if self._since is None or self._message != self._scanner.messages:
            self._since, self._message = now, self._scanner.messages
        if self._timer is None:
            self._start_timer(MESSAGE_SECONDS)

    def _start_timer(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, self._check_unfinished)

    def _check_unfinished(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._since is None or self._is_cut:
            return
        if self._pauses or now > self._due + LATE_SECONDS:
            self._since = now  # reading was paused, or the event loop was blocked
        if (left := self._since + MESSAGE_SECONDS - now) > 0:
            self._start_timer(left)
        else:
            self._cut(Disconnect(CloseCode.SILENT, UNFINISHED))

    # Reading.

    def _pause(self, why: str) -> None:
        if not self._pauses:
            transport.pause(self._send)
        self._pauses.add(why)

    def _resume(self, why: str) -> None:
        if why in self._pauses:
            self._pauses.discard(why)
            if not self._pauses:
                transport.resume(self._send)


def _frames(settings: Config) -> tuple[float, float]:
    """Return twice the allowances of commands, and some frames for refused commands."""
    rate = settings.messages_per_second + settings.commands_per_second + settings.joins_per_second
    burst = settings.messages_burst + settings.commands_burst + settings.rooms_per_connection
    return 2 * rate, 2 * (burst + settings.rooms_per_minute) + REFUSALS_BURST


def _bytes(settings: Config) -> tuple[float, float]:
    """Return the bytes of as many of the largest frames as messages are allowed."""
    limit = settings.frame_bytes
    rate, burst = settings.messages_per_second * limit, settings.messages_burst * limit
    return max(rate, limit), max(burst, DISCARD_BYTES)
