"""The log of a room or topic as a client knows it: the position reached, and the loops over it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..wire.failures import RealtimeError
from ..wire.position import Order, Position
from .stream import Pages, Placed, Stream
from .streams import Streams

__all__ = ["Log"]


class Log:
    """The position up to which all events are known; each new one goes to the streams."""

    def __init__(self) -> None:
        self._streams = Streams()
        self.known: Position | None = None
        """None before the client has entered, and after the log has begun anew."""

    @property
    def position(self) -> int:
        """The position up to which streams that are not behind have got all events."""
        return 0 if self.known is None else self.known.seq

    @property
    def since(self) -> dict[str, Any] | None:
        """From where to resume, as a command says it."""
        known = self.known
        return None if known is None else {"seq": known.seq, "epoch": known.epoch}

    def stream(self, pages: Pages, wanted: Callable[[Any], Any]) -> Stream[Any]:
        """Return another stream, which gets what comes from now on."""
        stream: Stream[Any] = Stream(pages, wanted)
        if self.known is not None:
            stream.begin_anew((), self.known.seq, self.known.epoch)
        self._streams.add(stream)
        return stream

    def discard(self, stream: Stream[Any]) -> None:
        """Give a stream no more events."""
        self._streams.discard(stream)

    # The way of the log

    def start(self, since: Position) -> None:
        """Begin at a position that an earlier client has handled, unless there is one already."""
        if self.known is None:
            self.known = Position(since.seq, since.epoch)
            self._streams.start(since)

    def take(self, event: Any, seq: int, first: int | None, epoch: str | None = None) -> Order:
        """Give an event to the streams if it is the next one; return its place in the log."""
        known = self.known
        if known is None:
            return Order.REPEAT
        if epoch and not known.epoch:
            known.epoch = epoch
        order = known.judge(seq, first)
        if order is Order.NEXT:
            known.advance(seq)
            self._streams.put(Placed(event, seq, epoch))
        return order

    def put_loose(self, event: object) -> None:
        """Give the streams an event that is not stored."""
        self._streams.put(Placed(event, None))

    def missed(self, epoch: str, through: int) -> int | None:
        """Return how many changes were missed; None if this log cannot be continued."""
        known = self.known
        if known is None or known.seq > through:
            return None
        is_begin = not known.seq and not known.epoch  # of any log
        return through - known.seq if is_begin or known.epoch == epoch else None

    def resume(self, known: Position, events: Iterable[Placed], through: int) -> None:
        """Go on from a position with all that was missed."""
        for placed in events:
            self._streams.put(placed)
        known.seq = through
        self._streams.skip_to(through)

    def fall_behind(self, known: Position, epoch: str, through: int) -> None:
        """Go on though much was missed: streams read it page by page, before anything newer."""
        known.seq, known.epoch = through, epoch
        self._streams.fall_behind(epoch)

    def begin_anew(self, shown: Sequence[Placed], known: Position, missed: int | None) -> None:
        """Go on with the present state; streams that have begun get a `Reset` before it."""
        self.known = known
        self._streams.begin_anew(shown, known, missed)

    def forget(self) -> None:
        """Know no position any more."""
        self.known = None

    def restart(self) -> None:
        """Go on with iterations after an end."""
        self._streams.restart()

    def end(self, error: RealtimeError | None) -> None:
        """End all iterations."""
        self._streams.end(error)
