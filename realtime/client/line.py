"""One socket: carries commands, gives replies to those who asked, and notices its own death."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..logs import get_logger
from ..wire.events import DisconnectEvent, Failure, Ping, Resync
from ..wire.failures import RealtimeError
from .clock import SleepCheck
from .frames import Encoding, Incoming

__all__ = ["Command", "End", "Line"]

logger = get_logger("realtime.client")

Command = dict[str, Any]
OnReply = Callable[[Any], None]
OnError = Callable[[RealtimeError], None]

WELCOME_SECONDS = 10.0
SILENT_SECONDS, LATE_SECONDS, TICK_SECONDS = 22.0, 2.0, 5.0
PONG_SECONDS, WAKE_SECONDS = 6.0, 3.0
DROPPED = 1006
FIRST_TERMINAL, LAST_TERMINAL = 4500, 4999
LOOSE_COMMANDS = 100
"""With more than these waiting, commands that lose their worth with time are not sent."""


@dataclass(frozen=True, slots=True)
class End:
    """Why a line has ended; `reconnect` says whether another one is wanted."""

    code: int
    reason: str = ""
    reconnect: bool = True
    retry_after: float | None = None

    @classmethod
    def of_close(cls, code: int | None, reason: str) -> "End":
        """Return the end that a close code stands for."""
        code = code or DROPPED
        return cls(code, reason, reconnect=not FIRST_TERMINAL <= code <= LAST_TERMINAL)


class Line:
    """A connected socket.

    `receive` gets what is no reply, `tick` is called every few seconds. Callbacks run as soon as a
    frame was read, in the order of its events, as the next event may depend on them.
    """

    def __init__(
        self,
        socket: ClientConnection,
        encoding: Encoding,
        receive: Callable[[Incoming], None],
        tick: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._encoding = encoding
        self._receive = receive
        self._tick = tick
        self._loop = asyncio.get_running_loop()
        self._refs = count(1)
        self._replies: dict[int | str | None, tuple[OnReply, OnError]] = {}
        self._outgoing: deque[tuple[int | None, bytes]] = deque()
        self._most_bytes = sys.maxsize
        self._wake = asyncio.Event()
        self._heard_at = self._pinged_at = time.monotonic()
        self._timers: set[asyncio.TimerHandle] = set()
        self._deadline = self.after(WELCOME_SECONDS, lambda: self.lose("timeout"))
        self._beating: asyncio.Task[None] | None = None
        self._end: End | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent or received."""
        return self._end is not None

    @property
    def is_congested(self) -> bool:
        """Whether so much waits to be written that only what is stored should be sent."""
        return len(self._outgoing) > LOOSE_COMMANDS

    async def run(self) -> End:
        """Read and write until the socket ends; return why it has ended."""
        writing = self._start(self._write())
        try:
            await self._read()
            return self._end or End.of_close(
                self._socket.close_code, self._socket.close_reason or ""
            )
        finally:
            self._end = self._end or End(DROPPED, "closed")
            await self._stop(writing)

    def send(self, command: Command) -> None:
        """Send a command without waiting for a reply; raises if it cannot be encoded."""
        self._put(None, command)

    def ask(self, command: Command, on_reply: OnReply, on_error: OnError) -> int:
        """Send a command with a `ref`, and return that; one of the callbacks is called later.

        If the line ends before, this is an error whose outcome is unknown.
        """
        ref = next(self._refs)
        self._put(ref, {**command, "ref": ref})
        if self.is_over:
            lost = RealtimeError("offline", is_retryable=True, outcome="not_sent")
            self._loop.call_soon(on_error, lost)
        else:
            self._replies[ref] = on_reply, on_error
        return ref

    def withdraw(self, ref: int) -> bool:
        """Take a command back that was not written yet; returns whether that was possible."""
        for waiting in self._outgoing:
            if waiting[0] == ref:
                self._outgoing.remove(waiting)
                del self._replies[ref]
                return True
        return False

    def after(self, seconds: float | None, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `act` in `seconds` (by default one), unless this line is over by then."""

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = self._loop.call_later(1.0 if seconds is None else seconds, fire)
        self._timers.add(timer)
        return timer

    def welcomed(self, silence: float, most_bytes: int | None) -> None:
        """Watch the server from now on; it pings a client that was silent for `silence` seconds.

        `most_bytes` is the size of the largest command that it takes.
        """
        self._most_bytes = most_bytes or self._most_bytes
        self._deadline.cancel()
        silence = min(SILENT_SECONDS, silence + LATE_SECONDS)
        self._beating = self._start(self._beat(silence))

    def lose(self, reason: str) -> None:
        """Give the line up, because the server does not answer or sends nonsense."""
        self.end(End(DROPPED, reason))

    def end(self, end: End) -> None:
        """Stop reading and writing at once."""
        if self._end is None:
            self._end = end
            self._socket.transport.abort()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task without which this line is of no use."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection is given up, because a task of it failed", exc_info=error)
            self.lose(f"{type(error).__name__}: {error}")

    async def _stop(self, writing: asyncio.Task[None]) -> None:
        for timer in self._timers:
            timer.cancel()
        tasks = [task for task in (writing, self._beating) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        replies = list(self._replies.values())
        self._replies.clear()
        for _, on_error in replies:
            on_error(RealtimeError("offline", is_retryable=True, outcome="unknown"))
        await self._socket.close()

    # Read

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                self._heard_at = time.monotonic()
                for event in self._encoding.events(frame):
                    self._take(event)
                    if self.is_over:
                        return
        except ConnectionClosed:
            pass
        except RealtimeError as error:
            self.lose(str(error))

    def _take(self, event: Incoming) -> None:
        match event:
            case Ping():
                self.send({"type": "pong"} if event.t is None else {"type": "pong", "t": event.t})
            case DisconnectEvent():
                self._end = End(event.code, event.reason, event.reconnect, event.retry_after)
            case _:
                on_reply, on_error = self._replies.pop(getattr(event, "ref", None), (None, None))
                self._settle(event, on_reply, on_error)

    def _settle(self, event: Incoming, on_reply: OnReply | None, on_error: OnError | None) -> None:
        if on_reply is None or on_error is None:
            self._receive(event)
        elif isinstance(event, Failure):
            on_error(RealtimeError.of(event))
        elif isinstance(event, Resync):
            on_error(RealtimeError("resync"))
            self._receive(event)
        else:
            on_reply(event)

    # Write

    def _put(self, ref: int | None, command: Command) -> None:
        """Encode a command at once: what cannot be encoded is the fault of the caller."""
        encoded = self._encoding.encode(command)
        if len(encoded) > self._most_bytes:
            # The server would refuse the frame without a `ref`, so nobody would hear of it.
            text = f"The server takes at most {self._most_bytes} bytes at once."
            raise RealtimeError("too_large", text, outcome="not_sent")
        if not self.is_over:
            self._outgoing.append((ref, encoded))
            self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands = [encoded for _, encoded in self._outgoing]
            self._outgoing.clear()
            for frame in self._encoding.frames(commands, self._most_bytes):
                try:
                    await self._socket.send(frame)
                except ConnectionClosed:
                    return  # the reader finds out why

    # A silent server

    async def _beat(self, silence: float) -> None:
        sleep_check = SleepCheck()
        while True:
            silent = time.monotonic() - self._heard_at
            pause = min(TICK_SECONDS, max(silence - silent, 0.1))
            await asyncio.sleep(pause)
            if sleep_check.has_slept(pause):
                self._ping(WAKE_SECONDS)
            elif time.monotonic() - self._heard_at >= silence:
                self._ping(PONG_SECONDS)
            self._tick()

    def _ping(self, seconds: float, *, is_last: bool = False) -> None:
        if self._pinged_at > self._heard_at and not is_last:
            return  # a ping is unanswered, and its deadline runs
        self._pinged_at = at = time.monotonic()
        self.send({"type": "ping"})
        self.after(seconds, lambda: self._judge(at, at + seconds, is_last))

    def _judge(self, pinged_at: float, due: float, is_last: bool) -> None:
        """Lose the line if nothing came since a ping.

        A late deadline, after the machine or the program stood still, may come before what has
        arrived meanwhile was read. Then a second ping decides.
        """
        if self._heard_at >= pinged_at:
            return
        if time.monotonic() - due < TICK_SECONDS or is_last:
            self.lose("timeout")
        else:
            self._ping(WAKE_SECONDS, is_last=True)
