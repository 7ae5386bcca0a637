"""What rooms and topics share: they are entered again on each line, at the position reached."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Generic, TypeVar

from ..wire.events import HistoryPage, Outgoing
from ..wire.failures import RealtimeError
from ..wire.position import Order, Position
from .line import Command, Line
from .seen import Seen
from .session import REQUEST_SECONDS, Session
from .stream import Page, Placed, Stream
from .streams import Streams

__all__ = ["Log", "LogState"]

E = TypeVar("E")
PAGE = 100


class LogState(StrEnum):
    """Whether what a room or topic shows is current."""

    IDLE = "idle"
    JOINING = "joining"
    LIVE = "live"
    STALE = "stale"
    REFUSED = "refused"


class Log(Generic[E]):
    """A room or a topic of a client.

    Iterate over it for its events, in the order of its log; `events` makes further iterators.
    """

    def __init__(self, session: Session, wanted: Callable[[Any], E | None]) -> None:
        self._session = session
        self._streams = Streams()
        self._known: Position | None = None
        self._is_anew = False
        self._stream: Stream[E] = self._new_stream(wanted)
        self._line: Line | None = None
        self._attempt: object | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._callers, self._is_held = 0, False
        self.state = LogState.IDLE
        self.error: RealtimeError | None = None
        """Why the server has refused or removed the client."""

    # For applications

    def __aiter__(self) -> Stream[E]:
        return self._stream

    @property
    def is_wanted(self) -> bool:
        """Whether the client is to be in the room, or subscribed to the topic."""
        return self.state not in (LogState.IDLE, LogState.REFUSED)

    @property
    def is_live(self) -> bool:
        """Whether new events come in now."""
        return self.state is LogState.LIVE

    @property
    def handled(self) -> Position | None:
        """The position that the loop over this object has handled."""
        return self._stream.handled

    # For the client

    @property
    def line(self) -> Line | None:
        """The line on which the server knows that the client is here."""
        return self._line if self.is_live else None

    @property
    def position(self) -> int:
        """The position up to which streams that are not behind have got all events."""
        return 0 if self._known is None else self._known.seq

    def go_on_from(self, since: Position) -> None:
        """Begin at a position that an earlier client has handled, unless there is one already."""
        if self._known is None:
            self._known = Position(since.seq, since.epoch)
            self._streams.start(since)

    def enter(self) -> None:
        """Send the command that enters, if that is still to be done and there is a line."""
        line = self._session.line
        if line is None or not self.is_wanted or self._attempt is not None or self.line is not None:
            return
        self._attempt = attempt = object()
        line.ask(
            self._opening(self._known),
            lambda reply: self._entered(line, attempt, reply),
            lambda error: self._not_entered(line, attempt, error),
        )

    def reenter(self) -> None:
        """Enter again: the server does not know that the client is here."""
        self._detach()
        self.enter()

    def resync(self) -> None:
        """Enter without a position, because what follows it was removed."""
        self._known, self._is_anew = None, True
        self.reenter()

    def lost(self) -> None:
        """Know that the line has ended."""
        self._detach()

    def removed(self, error: RealtimeError) -> None:
        """Leave, because the server says so."""
        self._end(LogState.REFUSED, error)

    def interrupted(self, retry_after: float | None) -> None:
        """Enter again in a while, because the server could not keep the client here."""
        self._detach()
        if self.is_wanted and (line := self._session.line) is not None:
            self._attempt = attempt = object()
            line.after(retry_after, lambda: self._retry(attempt))

    def fail(self, error: RealtimeError) -> None:
        """Leave, because the client is closed."""
        self._end(LogState.IDLE, error)

    def forget(self) -> None:
        """Drop what the last user saw."""
        self._known = None

    async def ready(self) -> None:
        """Wait until the client is here; raise `RealtimeError` if that will not be."""
        while not self.is_live:
            if not self.is_wanted:
                raise self.error or RealtimeError("left")
            waiting = asyncio.get_running_loop().create_future()
            self._waiting = [*(one for one in self._waiting if not one.done()), waiting]
            await waiting

    async def page(self, after: int, seen: Seen) -> Page:
        """Return the events after a position, for a loop that has seen some messages.

        Raises `RealtimeError`, with the code `resync` if they were removed.
        """
        reply = await self._asked(after)
        if self._known is not None and reply.epoch not in (self._known.epoch, ""):
            self.resync()
            raise RealtimeError("resync")
        return Page(list(self._placed(reply, seen)), reply.through or after)

    async def _asked(self, after: int) -> HistoryPage:
        """Return a page; enter again if the server does not know that the client is here."""
        try:
            return await self._read(REQUEST_SECONDS, after=after, limit=PAGE)
        except RealtimeError as error:
            if error.code != "not_joined" or not self.is_wanted:
                raise
            if self.is_live:
                self.reenter()
            raise RealtimeError(error.code, error.message, is_retryable=True) from error

    async def _read(self, timeout: float, **fields: int | None) -> HistoryPage:
        """Return a page of the history; fields that are None are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        command = {"type": "history", **self._address(), **given}
        page: HistoryPage = await self._session.request(command, timeout)
        return page

    def forget_stream(self, stream: Stream[Any]) -> None:
        """Give a stream no more events."""
        self._streams.discard(stream)

    # For rooms and topics

    async def _want(self, since: Position | None) -> None:
        self._session.check_open()
        if since is not None:
            self.go_on_from(since)
        if not self.is_wanted:
            self._become(LogState.JOINING)
            self.error = None
            self._streams.restart()
        self.enter()
        self._callers += 1
        try:
            await self.ready()
            self._is_held = True
        except asyncio.CancelledError:
            if self._callers == 1 and not self._is_held:
                self._leave()
            raise
        finally:
            self._callers -= 1

    def _leave(self) -> None:
        if self._line is not None and not self._line.is_over:
            self._close(self._line)
        self._end(LogState.IDLE, None)

    def _take(self, event: Any, seq: int, first: int | None, epoch: str | None = None) -> bool:
        """Give an event of the log to the streams; returns whether it is the next one."""
        known = self._known
        if not self.is_live or known is None:
            return False
        if epoch and not known.epoch:
            known.epoch = epoch
        match known.judge(seq, first):
            case Order.GAP:
                self.reenter()
                return False
            case Order.REPEAT:
                return False
        known.advance(seq)
        self._streams.put(Placed(event, seq, epoch))
        return True

    def _put_loose(self, event: object) -> None:
        self._streams.put(Placed(event, None))

    def _missed(self, epoch: str, through: int) -> int | None:
        """Return how many changes were missed; None if this log cannot be continued."""
        known = self._known
        if known is None or known.seq > through:
            return None
        is_begin = not known.seq and not known.epoch  # of any log
        return through - known.seq if is_begin or known.epoch == epoch else None

    def _resume(self, known: Position, events: Iterable[Placed], through: int) -> None:
        """Go on from a position with all that was missed."""
        for placed in events:
            self._streams.put(placed)
        known.seq = through
        self._streams.skip_to(through)

    def _fall_behind(self, known: Position, epoch: str, through: int) -> None:
        """Go on though much was missed: streams read it page by page, before anything newer."""
        known.seq, known.epoch = through, epoch
        self._streams.fall_behind(epoch)

    def _begin_anew(self, shown: Sequence[Placed], known: Position, missed: int | None) -> None:
        """Go on with the present state; streams that have begun get a `Reset` before it."""
        self._known = known
        self._streams.begin_anew(shown, known, missed)

    def _confirm(self, line: Line) -> None:
        self._line = line
        self._become(LogState.LIVE)

    def _new_stream(self, wanted: Callable[[Any], Any]) -> Stream[Any]:
        stream: Stream[Any] = Stream(self, wanted)
        if self._known is not None:
            stream.begin_anew((), self._known.seq, self._known.epoch)
        self._streams.add(stream)
        return stream

    # What differs

    def _opening(self, known: Position | None) -> Command:
        """Return the command that enters, from a position if there is one."""
        raise NotImplementedError

    def _close(self, line: Line) -> None:
        """Send the command that leaves."""
        raise NotImplementedError

    def _address(self) -> Command:
        """Return the field of a command that names the room or topic."""
        raise NotImplementedError

    def _placed(self, page: HistoryPage, seen: Seen) -> Iterable[Placed]:
        """Yield the events of a page, for a loop that has seen some messages."""
        raise NotImplementedError

    def _opened(self, line: Line, reply: Any) -> None:
        """Take the reply to the command that enters."""
        raise NotImplementedError

    # States

    def _entered(self, line: Line, attempt: object, reply: Outgoing) -> None:
        """Take a reply; one that comes after the client has left is answered by leaving."""
        if attempt is self._attempt:
            self._attempt = None
            self._opened(line, reply)
        elif not self.is_wanted:
            self._close(line)

    def _not_entered(self, line: Line, attempt: object, error: RealtimeError) -> None:
        if attempt is not self._attempt:
            return
        if error.code == "offline":
            self._attempt = None
        elif error.is_retryable:
            line.after(error.retry_after, lambda: self._retry(attempt))
        else:
            self._attempt = None
            self._end(LogState.REFUSED, error)

    def _retry(self, attempt: object) -> None:
        if attempt is self._attempt:
            self._attempt = None
            self.enter()

    def _detach(self) -> None:
        self._attempt = None
        if self.is_wanted:
            self._become(LogState.STALE if self._known is not None else LogState.JOINING)

    def _end(self, state: LogState, error: RealtimeError | None) -> None:
        self._line = self._attempt = None
        self._is_held = False
        self.error = error
        self._become(state)
        self._streams.end(error)

    def _become(self, state: LogState) -> None:
        self.state = state
        if state is LogState.LIVE or not self.is_wanted:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)
