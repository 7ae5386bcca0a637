"""What the server sends: replies to one command, events for many.

Fields whose value is their default are left off the wire. Texts of errors are given to
`translate`, which returns them in the language of the client.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from .body import Body, copy_body
from .errors import CommandError, Disconnect, ErrorCode

__all__ = [
    "PROTOCOL",
    "Ack",
    "AnyOutgoing",
    "Authenticated",
    "Blocks",
    "Changed",
    "DisconnectEvent",
    "Done",
    "Failure",
    "HistoryPage",
    "Invitation",
    "Invited",
    "Joined",
    "Left",
    "Member",
    "MessageEvent",
    "MessageState",
    "Notice",
    "Outgoing",
    "Ping",
    "Pong",
    "PresenceList",
    "Ref",
    "Removed",
    "Resync",
    "RoomState",
    "SignalEvent",
    "Translate",
    "TypingEvent",
    "Welcome",
    "timestamp",
]

PROTOCOL = "realtime.v1"

Ref = str | int | None
Translate = Callable[[object], str]


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Outgoing(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag=str.lower):
    """Any reply or event."""


class MessageFields(Body, kw_only=True):
    """What a state and an event of a message share, after the fields that both must have.

    On the wire, fields that are not `kw_only` stand before inherited ones that are. So each can
    begin with its own order of them.
    """

    nonce: str | None = None
    changed_seq: int | None = None
    edited_at: str | None = None
    deleted: bool = False


class MessageState(MessageFields):
    """A stored message as it is now; `seq` is its place, `changed_seq` its last change."""

    id: int
    seq: int
    user_id: str
    username: str
    created_at: str

    @property
    def position(self) -> int:
        """Where in the log this state stands."""
        return self.seq if self.changed_seq is None else self.changed_seq


class Member(Struct, kw_only=True, omit_defaults=True):
    """A user who is in a room; `connections` only where they were counted."""

    user_id: str
    username: str
    connections: int | None = None


class Welcome(Outgoing, tag="welcome"):
    """The first frame once it is known who the connection is."""

    connection: str
    user_id: str
    username: str
    heartbeat: int
    limits: dict[str, int]
    server_time: str
    protocol: str
    guest_token: str | None = None


class Authenticated(Outgoing, tag="authenticated"):
    """The reply to `auth`."""

    user_id: str
    username: str
    expires_at: str | None = None
    guest_token: str | None = None
    ref: Ref = None


class Joined(Outgoing, tag="joined"):
    """A user has entered a room; in the reply to `join` with its state up to `through`."""

    room: str
    user_id: str
    username: str
    through: int | None = None
    epoch: str | None = None
    recovered: bool | None = None
    messages: list[MessageState] | None = None
    has_more: bool | None = None
    members: list[Member] | None = None
    count: int | None = None
    role: str | None = None
    rights: list[str] | None = None
    title: str = ""
    kind: str = "public"
    slow_seconds: int = 0
    read_only: bool = False
    muted: str | None = None
    muted_until: str | None = None
    request: bool = False
    ref: Ref = None


class Left(Outgoing, tag="left"):
    """Somebody left a room; to the one who asked, the reply."""

    room: str
    user_id: str
    username: str
    ref: Ref = None


class FollowingFields(MessageFields, kw_only=True):
    """The same with the first position that an event covers."""

    first: int | None = field(default=None, name="from")


class MessageEvent(FollowingFields, Outgoing, tag="message"):
    """A new message."""

    room: str
    seq: int
    id: int
    user_id: str
    username: str
    created_at: str

    @classmethod
    def of(cls, room: str, state: MessageState, first: int | None) -> "MessageEvent":
        """Return the event that tells a state."""
        event = cls(
            room=room,
            seq=state.seq,
            id=state.id,
            user_id=state.user_id,
            username=state.username,
            created_at=state.created_at,
            nonce=state.nonce,
            edited_at=state.edited_at,
            deleted=state.deleted,
            first=first,
        )
        copy_body(state, event)
        return event

    @property
    def state(self) -> MessageState:
        """The state that this event tells."""
        state = MessageState(
            id=self.id,
            seq=self.seq,
            user_id=self.user_id,
            username=self.username,
            created_at=self.created_at,
            nonce=self.nonce,
            edited_at=self.edited_at,
            deleted=self.deleted,
        )
        copy_body(self, state)
        return state


class Changed(Outgoing, tag="changed"):
    """An older message as it is now; `seq` is the position of the change."""

    room: str
    seq: int
    message: MessageState
    first: int | None = field(default=None, name="from")


class Ack(Outgoing, tag="ack"):
    """A message is stored for good."""

    room: str
    seq: int
    id: int
    created_at: str
    nonce: str | None = None
    ref: Ref = None


class HistoryPage(Outgoing, tag="history"):
    """Messages in ascending order; `through` is the position they reach, with `after`."""

    room: str
    messages: list[MessageState]
    epoch: str
    has_more: bool
    through: int | None = None
    ref: Ref = None


class PresenceList(Outgoing, tag="presence"):
    """Who is in a room; in a crowded one only how many."""

    room: str
    count: int
    members: list[Member]
    ref: Ref = None


class TypingEvent(Outgoing, tag="typing"):
    """Somebody is writing."""

    room: str
    user_id: str
    username: str


class SignalEvent(Outgoing, tag="signal"):
    """Something that is not stored; from the site's own code `user_id` is missing."""

    data: dict[str, Any]
    room: str | None = None
    user_id: str | None = None
    username: str | None = None


class RoomState(Outgoing, tag="room"):
    """What a room is like and what one may do there, when that has changed; also a reply."""

    room: str
    role: str
    rights: list[str]
    title: str = ""
    kind: str = "public"
    slow_seconds: int = 0
    read_only: bool = False
    muted: str | None = None
    muted_until: str | None = None
    request: bool = False
    ref: Ref = None


class Removed(Outgoing, tag="removed"):
    """The server has taken the connection out of a room, whose rights have changed.

    `retry_after` is given where that ends by itself, in seconds.
    """

    room: str
    code: ErrorCode
    message: str
    retry_after: float | None = None

    @classmethod
    def of(cls, refusal: CommandError, room: str, translate: Translate) -> "Removed":
        """Return the event for a refusal."""
        wait = None if refusal.retry_after is None else round(refusal.retry_after, 3)
        message = translate(refusal.text)
        return cls(room=room, code=refusal.code, message=message, retry_after=wait)


class Invited(Outgoing, tag="invited"):
    """There is a new place for the user, in a private or a direct room."""

    room: str
    kind: str
    user_id: str
    username: str
    title: str = ""
    request: bool = False


class Invitation(Outgoing, tag="invitation"):
    """The reply to `invite`: what lets into the room whoever has it."""

    room: str
    invitation: str
    expires_in: int
    ref: Ref = None


class Blocks(Outgoing, tag="blocks"):
    """The reply to `block` without a user: everybody whom the user has blocked."""

    user_ids: list[str]
    ref: Ref = None


class Done(Outgoing, tag="done"):
    """The reply to a command that has nothing else to tell; `note` says what it could not do."""

    room: str | None = None
    note: str | None = None
    ref: Ref = None


class Ping(Outgoing, tag="ping"):
    """The server has heard nothing for a heartbeat, and wants to.

    With `t` it asks whether the client has read this far: the same `t` has to come back.
    """

    t: str | None = None


class Pong(Outgoing, tag="pong"):
    """The reply to `ping`."""

    server_time: str
    t: int | float | str | None = None
    ref: Ref = None


class Notice(Outgoing, tag="notice"):
    """A text from an administrator; `level` is info, warning or error."""

    level: str
    text: str


class Resync(Outgoing, tag="resync"):
    """What the client has cannot be continued; it must join again without `since`."""

    room: str
    seq: int
    epoch: str


class Failure(Outgoing, tag="error"):
    """A command failed; the connection stays."""

    code: ErrorCode
    message: str
    retryable: bool
    room: str | None = None
    retry_after: float | None = None
    ref: Ref = None

    @classmethod
    def of(cls, error: CommandError, translate: Translate) -> "Failure":
        """Return the reply for an error."""
        return cls(
            code=error.code,
            message=translate(error.text),
            retryable=error.retryable,
            room=error.room,
            retry_after=None if error.retry_after is None else round(error.retry_after, 3),
            ref=error.ref,
        )


class DisconnectEvent(Outgoing, tag="disconnect"):
    """The server is about to close the socket, and why."""

    code: int
    reason: str
    reconnect: bool
    retry_after: float | None = None

    @classmethod
    def of(cls, end: Disconnect, translate: Translate) -> "DisconnectEvent":
        """Return the event for the end of a connection."""
        return cls(
            code=end.code,
            reason=translate(end.text),
            reconnect=end.reconnect,
            retry_after=end.retry_after,
        )


AnyOutgoing = (
    Welcome
    | Authenticated
    | Joined
    | Left
    | MessageEvent
    | Changed
    | Ack
    | HistoryPage
    | PresenceList
    | TypingEvent
    | SignalEvent
    | RoomState
    | Removed
    | Invited
    | Invitation
    | Blocks
    | Done
    | Ping
    | Pong
    | Notice
    | Resync
    | Failure
    | DisconnectEvent
)
"""Each frame that the server sends decodes as this union."""
