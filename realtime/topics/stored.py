"""An event or value that the log of a topic holds, as the site's code reads it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import msgspec

from ..wire.entries import EntryState
from .encoding import event_of
from .structs import Event

__all__ = ["StoredEvent"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A stored event, or the value of a key.

    `seq` is its position: give it as `if_seq` to change a value only if nobody else has. `at` is
    the time at which it was stored.
    """

    name: str
    seq: int
    at: datetime
    key: str | None = None
    nonce: str | None = None
    _text: bytes = field(default=b"{}", repr=False)
    _struct: type[Event] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, state: EntryState, struct: type[Event] | None) -> Self:
        """Return the state of an entry, for the struct that has its name today."""
        at = datetime.fromisoformat(state.at)
        text = bytes(state.data)
        return cls(state.name, state.seq, at, state.key, state.nonce, text, struct)

    @property
    def data(self) -> dict[str, Any]:
        """The fields, as they were stored."""
        found: dict[str, Any] = msgspec.json.decode(self._text)
        return found

    @property
    def event(self) -> Event:
        """The struct. Raises `ValueError` if its class has changed so that it does not fit."""
        if self._struct is None:
            raise ValueError(
                f"The topic does not list an event {self.name!r} any more: read `data`."
            )
        return event_of(self._text, self._struct)
