"""An event, encoded once for all members of a topic."""

from dataclasses import dataclass

import msgspec

from ...wire.codecs import Frame
from ...wire.events import Changed, MessageEvent, MessageState
from ..bus.notes import LogEvent

__all__ = ["Event"]

_decode = msgspec.json.Decoder(MessageEvent | Changed).decode


@dataclass(slots=True)
class Event:
    """An event for all members of a topic; one of a log covers the positions `first` to `seq`."""

    frame: Frame
    seq: int | None = None
    first: int | None = None
    state: MessageState | None = None
    exclude: str = ""
    """The connection that does not get the event."""

    @classmethod
    def of_state(cls, slug: str, state: MessageState, first: int | None = None) -> "Event":
        """Return the event that carries the state of a stored message."""
        position = state.position
        outgoing: MessageEvent | Changed
        if position == state.seq:
            outgoing = MessageEvent.of(slug, state, first)
        else:
            outgoing = Changed(room=slug, seq=position, message=state, first=first)
        return cls(Frame.of(outgoing), position, first, state)

    @classmethod
    def of_text(cls, text: str) -> "Event":
        """Return an event of a log that another process has encoded."""
        outgoing = _decode(text)
        state = outgoing.message if isinstance(outgoing, Changed) else outgoing.state
        return cls(Frame(text), state.position, outgoing.first, state)

    def note(self, epoch: str) -> LogEvent:
        """Return the note that carries an event of a room's log to other processes."""
        return LogEvent(self.seq, self.first, epoch, self.frame.text)
