"""The frames of the server: replies to one command, and events for many clients.

Fields with their default value are left out. Texts of errors are given to
`translate`, which returns them in the language of the client.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Raw, Struct, field

from .body import Body, copy_body, memory_size
from .entries import NO_DATA, EntryState
from .errors import CommandError, Disconnect, ErrorCode
from .tags import snake

__all__ = [
    "PROTOCOL",
    "Ack",
    "AnyOutgoing",
    "Ask",
    "Authenticated",
    "Blocks",
    "Changed",
    "DisconnectEvent",
    "Done",
    "EntryEvent",
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
    "Result",
    "Resync",
    "RoomState",
    "SignalEvent",
    "Subscribed",
    "Translate",
    "TypingEvent",
    "Unsubscribed",
    "Welcome",
    "timestamp",
]

PROTOCOL = "realtime.v1"

Ref = str | int | None
Code = Annotated[str, Meta(examples=[code.value for code in ErrorCode])]
"""The code of an error: one of the package, or one of the site's own."""
Translate = Callable[[object], str]


def timestamp(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Outgoing(Struct, kw_only=True, omit_defaults=True, tag_field="type", tag=snake):
    """The base of all replies and events."""


class MessageFields(Body, kw_only=True):
    """The fields that states and events of messages share, after the required ones.

    On the wire, fields that are not `kw_only` come before inherited ones that are. So states and
    events begin with the required fields, each in its own order.
    """

    nonce: str | None = None
    changed_seq: int | None = None
    edited_at: str | None = None
    deleted: bool = False


M = TypeVar("M", bound=MessageFields)


class MessageState(MessageFields):
    """The current state of a stored message; `seq` is its place, `changed_seq` its last change."""

    id: int
    seq: int
    user_id: str
    username: str
    created_at: str

    @property
    def position(self) -> int:
        """The position of this state in the log."""
        return self.seq if self.changed_seq is None else self.changed_seq

    @property
    def origin(self) -> tuple[str, str, str | None, bool]:
        """By whom and when it was made: another history has another state at its position."""
        return self.user_id, self.created_at, self.edited_at, self.deleted

    @property
    def memory_size(self) -> int:
        """About how many bytes the body takes in memory."""
        return memory_size(self)


class Member(Struct, kw_only=True, omit_defaults=True):
    """A user in a room or topic; `connections` only if they were counted."""

    user_id: str
    username: str
    connections: int | None = None


class Welcome(Outgoing, tag="welcome"):
    """The first frame after authentication."""

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


class Joined(Outgoing, kw_only=True, tag="joined"):
    """A user has entered a room or topic; in the reply to `join` with its state up to `through`."""

    room: str | None = None
    topic: str | None = None
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


class Left(Outgoing, kw_only=True, tag="left"):
    """A user has left a room or topic; also the reply to `leave`."""

    room: str | None = None
    topic: str | None = None
    user_id: str
    username: str
    ref: Ref = None


class FollowingFields(MessageFields, kw_only=True):
    """The fields of a message, with the first position that an event covers."""

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
        """Return the event for a state."""
        event = _copied(state, cls, room, state.seq, state.id)
        event.first = first
        return event

    @property
    def state(self) -> MessageState:
        """The state of the message in this event."""
        return _copied(self, MessageState, self.id, self.seq)


def _copied(
    source: MessageState | MessageEvent, kind: Callable[..., M], *first_fields: str | int
) -> M:
    """Return a state or an event with the fields of the other one; `first_fields` precede them.

    By hand, not in a loop: it runs for each message. `changed_seq` stays None, as an event of this
    kind stands at the place of its message.
    """
    made = kind(*first_fields, source.user_id, source.username, source.created_at)
    made.nonce = source.nonce
    made.edited_at = source.edited_at
    made.deleted = source.deleted
    copy_body(source, made)
    return made


class Changed(Outgoing, tag="changed"):
    """The current state of an older message; `seq` is the position of the change."""

    room: str
    seq: int
    message: MessageState
    first: int | None = field(default=None, name="from")


class Ack(Outgoing, tag="ack"):
    """The acknowledgement of a message: its transaction is committed."""

    room: str
    seq: int
    id: int
    created_at: str
    nonce: str | None = None
    ref: Ref = None


class HistoryPage(Outgoing, kw_only=True, tag="history"):
    """The messages of a room or the entries of a topic, in ascending order.

    With `after`, `through` is the position that they reach.
    """

    room: str | None = None
    messages: list[MessageState] | None = None
    topic: str | None = None
    entries: list[EntryState] | None = None
    epoch: str
    has_more: bool
    through: int | None = None
    ref: Ref = None


class PresenceList(Outgoing, kw_only=True, tag="presence"):
    """The users in a room, or subscribed to a topic; in a crowd only their number.

    A topic with 0 of them does not show the client any more who they are.
    """

    room: str | None = None
    topic: str | None = None
    count: int
    members: list[Member]
    ref: Ref = None


class TypingEvent(Outgoing, tag="typing"):
    """A user is typing."""

    room: str
    user_id: str
    username: str


class SignalEvent(Outgoing, tag="signal"):
    """Data that is not stored; from the site's own code without `user_id`."""

    data: dict[str, Any]
    room: str | None = None
    user_id: str | None = None
    username: str | None = None


class RoomState(Outgoing, tag="room"):
    """The settings of a room and the rights of the client there, after a change; also a reply."""

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


class Subscribed(Outgoing, tag="subscribed"):
    """The reply to `subscribe`: the entries that bring the client to `through`.

    While `has_more` is true, the client requests the next page with `through` and `until`, and
    gets no events yet. `members` and `count` say who is subscribed, if the client may see that.
    """

    topic: str
    through: int
    epoch: str
    recovered: bool
    entries: list[EntryState]
    has_more: bool
    until: int | None = None
    rights: list[str] = []
    members: list[Member] | None = None
    count: int | None = None
    ref: Ref = None


class Unsubscribed(Outgoing, tag="unsubscribed"):
    """The reply to `unsubscribe`."""

    topic: str
    ref: Ref = None


class EntryEvent(Outgoing, tag="event"):
    """An event of a topic, or the new value of a key.

    Without `seq`, it is not stored. With `epoch`, it is the first event of its log. As in
    `EntryState`, `data` is JSON text.
    """

    topic: str
    name: str
    data: Raw = NO_DATA
    seq: int | None = None
    key: str | None = None
    nonce: str | None = field(default=None, name="id")
    deleted: bool = False
    first: int | None = field(default=None, name="from")
    at: str | None = None
    epoch: str | None = None

    @classmethod
    def of(
        cls, topic: str, state: EntryState, first: int | None = None, epoch: str | None = None
    ) -> "EntryEvent":
        """Return the event for a stored entry."""
        return cls(
            topic=topic,
            name=state.name,
            data=state.data,
            seq=state.seq,
            key=state.key,
            nonce=state.nonce,
            deleted=state.deleted,
            first=first,
            at=state.at,
            epoch=epoch,
        )

    @property
    def state(self) -> EntryState:
        """The state of the stored entry in this event."""
        if self.seq is None or self.at is None:
            raise ValueError("the event is not stored, so it has no state")
        return EntryState(
            name=self.name,
            data=self.data,
            seq=self.seq,
            key=self.key,
            nonce=self.nonce,
            deleted=self.deleted,
            at=self.at,
        )


class Result(Outgoing, tag="result"):
    """The reply to `call`; `name` is that of the reply's struct."""

    topic: str
    name: str
    data: dict[str, Any]
    ref: Ref = None


class Removed(Outgoing, kw_only=True, tag="removed"):
    """The server has removed the connection from a room or a topic: its rights have changed.

    `retry_after` is in seconds, if the client may come back then.
    """

    room: str | None = None
    topic: str | None = None
    code: Code
    message: str
    retry_after: float | None = None

    @classmethod
    def of(
        cls,
        refusal: CommandError,
        room: str | None,
        translate: Translate,
        *,
        topic: str | None = None,
    ) -> "Removed":
        """Return the event for a refusal."""
        wait = None if refusal.retry_after is None else round(refusal.retry_after, 3)
        message = translate(refusal.text)
        return cls(room=room, topic=topic, code=refusal.code, message=message, retry_after=wait)


class Invited(Outgoing, tag="invited"):
    """The user has become a member of a private or direct room."""

    room: str
    kind: str
    user_id: str
    username: str
    title: str = ""
    request: bool = False


class Invitation(Outgoing, tag="invitation"):
    """The reply to `invite`: a token that makes each user who has it a member of the room."""

    room: str
    invitation: str
    expires_in: int
    ref: Ref = None


class Blocks(Outgoing, tag="blocks"):
    """The reply to `block` without a user: the block list."""

    user_ids: list[str]
    ref: Ref = None


class Done(Outgoing, tag="done"):
    """The reply to a command without other results; `note` says what was not possible."""

    room: str | None = None
    note: str | None = None
    ref: Ref = None


class Ping(Outgoing, tag="ping"):
    """The client was silent for a heartbeat, and has to answer.

    With `t`, the client has to send the same `t`, which acknowledges that it has read this far.
    """

    t: str | None = None


class Pong(Outgoing, tag="pong"):
    """The reply to `ping`."""

    server_time: str
    t: int | float | str | None = None
    ref: Ref = None


class Ask(Outgoing, tag="ask"):
    """The site asks this client, which has `timeout` seconds to send `answer` with the same `ref`.

    `name` is that of the struct of the question.
    """

    ref: str
    name: str
    data: dict[str, Any]
    timeout: float


class Notice(Outgoing, tag="notice"):
    """A text from an administrator; `level` is info, warning or error."""

    level: str
    text: str


class Resync(Outgoing, kw_only=True, tag="resync"):
    """The position of the client cannot be continued.

    It must join the room or subscribe to the topic again, without `since`. With `ref`, this is the
    reply to `history`.
    """

    room: str | None = None
    topic: str | None = None
    seq: int
    epoch: str
    ref: Ref = None


class Failure(Outgoing, tag="error"):
    """A command failed; the connection stays."""

    code: Code
    message: str
    retryable: bool
    room: str | None = None
    topic: str | None = None
    path: str | None = None
    outcome: str | None = None
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
            topic=error.topic,
            path=error.path,
            outcome=error.outcome,
            retry_after=None if error.retry_after is None else round(error.retry_after, 3),
            ref=error.ref,
        )


class DisconnectEvent(Outgoing, tag="disconnect"):
    """The server is about to close the socket."""

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
    | Ask
    | Notice
    | Resync
    | Failure
    | DisconnectEvent
    | Subscribed
    | Unsubscribed
    | EntryEvent
    | Result
)
"""Each frame of the server decodes as this union."""
