"""What goes to many."""

from dataclasses import dataclass

import msgspec

from ...wire.codecs import Frame
from ...wire.events import Changed, MessageEvent, MessageState
from ..bus.notes import LogEvent

__all__ = ["Event"]

_decode = msgspec.json.Decoder(MessageEvent | Changed).decode


@dataclass(slots=True)
class Event:
    """Something for many. One of a room's log has a position `seq` and covers from `first` on."""

    frame: Frame
    seq: int | None = None
    first: int | None = None
    state: MessageState | None = None
    exclude: str = ""
    """The connection that does not get it."""

    @classmethod
    def of_state(cls, slug: str, state: MessageState, first: int | None = None) -> "Event":
        """The event that tells a stored message's state."""
        return cls(Frame.of(_outgoing(slug, state, first)), state.position, first, state)

    @classmethod
    def of_text(cls, text: str) -> "Event":
        """The event of a log that another process has encoded."""
        told = _decode(text)
        state = told.message if isinstance(told, Changed) else _state(told)
        return cls(Frame(text), state.position, told.first, state)

    def note(self, epoch: str) -> LogEvent:
        """Return the note that brings an event of a room's log to other processes."""
        return LogEvent(self.seq, self.first, epoch, self.frame.text)


def _outgoing(slug: str, state: MessageState, first: int | None) -> MessageEvent | Changed:
    if state.position != state.seq:
        return Changed(room=slug, seq=state.position, message=state, first=first)
    return MessageEvent(
        room=slug,
        seq=state.seq,
        id=state.id,
        user_id=state.user_id,
        username=state.username,
        created_at=state.created_at,
        content=state.content,
        data=state.data,
        nonce=state.nonce,
        edited_at=state.edited_at,
        deleted=state.deleted,
        first=first,
    )


def _state(event: MessageEvent) -> MessageState:
    return MessageState(
        id=event.id,
        seq=event.seq,
        user_id=event.user_id,
        username=event.username,
        created_at=event.created_at,
        content=event.content,
        data=event.data,
        nonce=event.nonce,
        edited_at=event.edited_at,
        deleted=event.deleted,
    )
