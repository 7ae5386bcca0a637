"""An event, encoded once for all members of a topic."""

from dataclasses import dataclass

from ...spans import Origin
from ...wire.codecs import Frame
from ...wire.position import LogState
from ..bus.notes import LogEvent

__all__ = ["Event"]


@dataclass(slots=True)
class Event:
    """An event for all members of a topic; one of a log covers the positions `first` to `seq`."""

    frame: Frame
    seq: int | None = None
    first: int | None = None
    state: LogState | None = None
    exclude: str = ""
    """The connection that does not get the event."""
    origin: Origin | None = None
    """The span that the event comes from, if there is one."""

    def note(self, epoch: str) -> LogEvent:
        """Return the note that carries an event of a log to other processes."""
        return LogEvent(self.seq, self.first, epoch, self.frame.text)
