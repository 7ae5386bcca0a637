"""All loops over one room or topic: what happens in the log reaches each of them."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from ..wire.failures import RealtimeError
from ..wire.position import Position
from .stream import Placed, Reset, Stream

__all__ = ["Streams"]


class Streams:
    """The streams of a log. One that no loop holds any more disappears by itself."""

    def __init__(self) -> None:
        self._all: WeakSet[Stream[Any]] = WeakSet()

    def add(self, stream: Stream[Any]) -> None:
        """Give a stream what comes from now on."""
        self._all.add(stream)

    def discard(self, stream: Stream[Any]) -> None:
        """Give a stream no more events."""
        self._all.discard(stream)

    def put(self, placed: Placed) -> None:
        """Give an event to all."""
        for stream in list(self._all):
            stream.put(placed)

    def skip_to(self, position: int) -> None:
        """Tell that there are no other events up to a position."""
        for stream in self._all:
            stream.skip_to(position)

    def fall_behind(self, epoch: str) -> None:
        """Have all read what they lack, page by page, before anything newer."""
        for stream in self._all:
            stream.fall_behind(epoch)

    def start(self, known: Position) -> None:
        """Begin after a position."""
        for stream in self._all:
            stream.begin_anew((), known.seq, known.epoch)

    def begin_anew(self, shown: Sequence[Placed], known: Position, missed: int | None) -> None:
        """Show the present state; streams that have begun get a `Reset` before it."""
        for stream in self._all:
            mine = [Placed(Reset(missed), None), *shown] if stream.has_begun else shown
            stream.begin_anew(_resumable(mine, known), known.seq, known.epoch)

    def end(self, error: RealtimeError | None) -> None:
        """End all iterations."""
        for stream in self._all:
            stream.end(error)

    def restart(self) -> None:
        """Go on after an end."""
        for stream in self._all:
            stream.restart()


def _resumable(shown: Sequence[Placed], known: Position) -> list[Placed]:
    """Place events where a client that has handled them goes on to get the others.

    They are in the order of their messages, of which a later change may have a higher position.
    """
    seq, found = known.seq, []
    for placed in reversed(shown):
        found.append(Placed(placed.event, seq, known.epoch))
        if placed.position is not None:
            seq = min(seq, placed.position - 1)
    return found[::-1]
