"""Messages before and after they are stored in the log of a room."""

from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import uuid4

import msgspec

from ...spans import Origin
from ...wire.body import Body
from ...wire.events import MessageState
from ..accounts.identity import Identity
from ..logs import MADE_NONCE
from .history import room_key

__all__ = ["Draft", "Key", "Stored"]

Key = tuple[int, str, str]
"""The unique key of a message: room, sender and nonce."""


def _made_nonce() -> str:
    return MADE_NONCE + uuid4().hex


class Draft(Body, kw_only=True):
    """A message without a position.

    `sender` is the protocol's `user_id`. `nonce` makes the append idempotent, also after a commit
    whose outcome is unknown.
    """

    room_id: int
    content: str
    sender: str
    username: str
    user_pk: Any = None
    """The primary key of the user; None for a guest."""
    nonce: str = msgspec.field(default_factory=_made_nonce)
    slug: str = ""
    """The room's slug, for the event; it is not stored."""
    slow_seconds: int = 0
    """How long the sender has to wait after the last message (`slow_mode.py`)."""
    created_at: datetime | None = None
    """When it was sent, if it is imported; only `import_drafts` reads it."""
    address: str = ""
    """The network of a guest: in slow mode, all its guests count as one sender."""
    formerly: tuple[str, ...] = ()
    """Earlier `user_id`s of the connection; slow mode counts them as the sender."""

    @classmethod
    def by(
        cls,
        identity: Identity,
        room_id: int,
        content: str,
        *,
        nonce: str | None = None,
        slug: str = "",
        slow_seconds: int = 0,
        address: str = "",
        **body: Any,
    ) -> Self:
        """Return the draft of a user's message; `body` are the other fields of a `Body`."""
        return cls(
            room_id=room_id,
            content=content,
            sender=identity.user_id,
            username=identity.username,
            user_pk=identity.user_pk,
            nonce=_made_nonce() if nonce is None else nonce,
            slug=slug,
            slow_seconds=slow_seconds,
            address=address if identity.is_guest else "",
            formerly=identity.formerly,
            **body,
        )

    @property
    def senders(self) -> tuple[str, ...]:
        """Return the sender and the earlier `user_id`s of its connection."""
        return self.sender, *self.formerly

    @property
    def log_key(self) -> str:
        """The log that the draft belongs to."""
        return room_key(self.room_id)

    @property
    def key(self) -> Key:
        """Return the unique key."""
        return self.room_id, self.sender, self.nonce


class Stored(NamedTuple):
    """A message with its position; `is_new` is false if this write changed nothing."""

    room_id: int
    slug: str
    state: MessageState
    epoch: str
    is_new: bool
    origin: Origin | None = None
    """The span that has stored it, if there is one."""
