"""The commands of a client: one struct each, distinguished by `type`."""

from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from .clean import MAX_INTEGER
from .tags import snake

__all__ = [
    "COMMANDS",
    "MAX_SLOW_SECONDS",
    "NAME_CHARACTERS",
    "REASON_CHARACTERS",
    "TITLE_CHARACTERS",
    "TOPIC_CHARACTERS",
    "Accept",
    "Answer",
    "AnyCommand",
    "Appoint",
    "Auth",
    "Ban",
    "Block",
    "Call",
    "Command",
    "Configure",
    "Create",
    "Delete",
    "Direct",
    "History",
    "Invite",
    "Join",
    "JoinTarget",
    "Joins",
    "Kick",
    "Leave",
    "Membership",
    "Message",
    "Mute",
    "Ping",
    "Pong",
    "Presence",
    "Read",
    "Report",
    "Signal",
    "Since",
    "Subscribe",
    "SubscribeTarget",
    "Subscribes",
    "TopicSince",
    "Typing",
    "Unban",
    "Unmute",
    "Unsubscribe",
]

# The tables have the same limits.
MAX_SLOW_SECONDS = 24 * 60 * 60
REASON_CHARACTERS = 500
TITLE_CHARACTERS = 200
TOPIC_CHARACTERS = 200
NAME_CHARACTERS = 64
"""The longest name of an event or command of a topic."""

Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Ref = Annotated[str, Meta(max_length=64)] | Integer
Slug = Annotated[str, Meta(min_length=1, max_length=100)]
Seq = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Epoch = Annotated[str, Meta(max_length=8)]
PageSignature = Annotated[str, Meta(min_length=1, max_length=4096)]
Count = Annotated[int, Meta(ge=0, le=100)]
UserId = Annotated[str, Meta(min_length=1, max_length=150)]
MessageId = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Reason = Annotated[str, Meta(max_length=REASON_CHARACTERS)]
Seconds = Annotated[int, Meta(ge=1, le=100 * 365 * 24 * 60 * 60)]
Title = Annotated[str, Meta(max_length=TITLE_CHARACTERS)]
TopicName = Annotated[str, Meta(min_length=1, max_length=TOPIC_CHARACTERS)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS)]


class Command(Struct, kw_only=True, tag_field="type", tag=snake):
    """The base of all commands; the reply to a command has the same `ref`."""

    ref: Ref | None = None


class Since(Struct):
    """The position of a client, and its epoch."""

    seq: Seq
    epoch: Epoch


class Auth(Command):
    """Authenticate with a token, or give a guest another name."""

    token: Annotated[str, Meta(max_length=4096)] | None = None
    name: Annotated[str, Meta(max_length=150)] | None = None


class JoinTarget(Struct, kw_only=True):
    """A room to join, and the messages to send with the reply."""

    room: Slug
    since: Since | None = None
    history: Count = 50


class Join(Command):
    """Enter a room, or refresh it."""

    room: Slug
    since: Since | None = None
    history: Count = 50


class Joins(Command):
    """Enter many rooms at once."""

    rooms: Annotated[list[JoinTarget], Meta(min_length=1, max_length=100)]


class Leave(Command):
    """Leave a room; `for_good` also ends the membership."""

    room: Slug
    for_good: bool = False


class Message(Command):
    """Store a message and send it to the room; a `nonce` lets a client repeat it safely."""

    room: Slug
    content: str
    nonce: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    data: dict[str, Any] | None = None


class History(Command):
    """Request a page of messages or entries: before a place, or changed after a position."""

    room: Slug | None = None
    before: Seq | None = None
    after: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    topic: TopicName | None = None

    def __post_init__(self) -> None:
        """Require a room or a topic, and not both."""
        _require_place(self.room, self.topic)


def _require_place(room: str | None, topic: str | None) -> None:
    if (room is None) == (topic is None):
        raise ValueError("Object needs one of the fields `room` and `topic`")


class Read(Command):
    """Store how far the user has read."""

    room: Slug
    seq: Seq


class Typing(Command):
    """Tell the room that the user is typing."""

    room: Slug


class Signal(Command):
    """Send data to the room without storing it."""

    room: Slug
    data: dict[str, Any]


class Presence(Command):
    """Request the list of users in a room, or of those who are subscribed to a topic."""

    room: Slug | None = None
    topic: TopicName | None = None

    def __post_init__(self) -> None:
        """Require a room or a topic, and not both."""
        _require_place(self.room, self.topic)


class Ping(Command):
    """Request a `pong` with the same `t`."""

    t: Integer | float | str | None = None


class Pong(Command):
    """Answer a `ping` of the server, with its `t` if it has one.

    To a `ping` without `t`, any other frame is an answer as well.
    """

    t: Annotated[str, Meta(max_length=64)] | None = None


# Questions.


class Answer(Command):
    """Answer an `ask` of the server: with data, or with the code of an error."""

    ref: Annotated[str, Meta(min_length=1, max_length=64)]
    data: dict[str, Any] | None = None
    code: Name | None = None
    message: Reason = ""

    def __post_init__(self) -> None:
        """Allow data or a code, and not both."""
        if self.data is not None and self.code is not None:
            raise ValueError("Object has the field `code`, so it needs no field `data`")


# Topics.


class TopicSince(Since):
    """The position of a client; `until` while it reads the pages of a snapshot."""

    until: Seq | None = None


class TopicStart(Struct, kw_only=True):
    """Where a client goes on: from its position, or from the moment in the signature of a page."""

    seq: Seq | None = None
    epoch: Epoch | None = None
    until: Seq | None = None
    at: PageSignature | None = None

    def __post_init__(self) -> None:
        """Require a position or a moment, and not both."""
        if self.at is not None and (self.seq, self.epoch, self.until) != (None, None, None):
            raise ValueError("Object has the field `at`, so it needs no other fields")
        if self.at is None and (self.seq is None or self.epoch is None):
            missing = "seq" if self.seq is None else "epoch"
            raise ValueError(f"Object missing required field `{missing}`")

    @property
    def position(self) -> TopicSince | None:
        """The position; None for a moment."""
        if self.seq is None or self.epoch is None:
            return None
        return TopicSince(self.seq, self.epoch, self.until)


class SubscribeTarget(Struct, kw_only=True):
    """A topic to subscribe to, and how many of its newest events to send with the reply."""

    topic: TopicName
    since: TopicStart | None = None
    history: Count = 0
    signature: PageSignature | None = None


class Subscribe(Command):
    """Subscribe to a topic, or continue from a position."""

    topic: TopicName
    since: TopicStart | None = None
    history: Count = 0
    signature: PageSignature | None = None


class Subscribes(Command):
    """Subscribe to many topics at once."""

    topics: Annotated[list[SubscribeTarget], Meta(min_length=1, max_length=100)]


class Unsubscribe(Command):
    """End the subscription to a topic."""

    topic: TopicName


class Call(Command):
    """Execute a command of a topic."""

    topic: TopicName
    name: Name
    data: dict[str, Any] | None = None


# Rooms.


class Create(Command):
    """Make a room that the user owns."""

    title: Title
    room: Annotated[str, Meta(max_length=100)] = ""
    kind: Literal["public", "private"] = "public"


class Direct(Command):
    """Find or make the direct room with another user."""

    user_id: UserId | None = None
    username: UserId | None = None


class Configure(Command):
    """Change the settings of a room."""

    room: Slug
    title: Title | None = None
    slow_seconds: Annotated[int, Meta(ge=0, le=MAX_SLOW_SECONDS)] | None = None
    read_only: bool | None = None


class Invite(Command):
    """Make a user a member of a private room; without a user, request an invitation."""

    room: Slug
    user_id: UserId | None = None
    username: UserId | None = None
    void: bool = False


class Accept(Command):
    """Become a member of a room by an invitation."""

    invitation: Annotated[str, Meta(max_length=1000)]


class Membership(Command):
    """Accept a direct room that a stranger has opened, or leave it for good."""

    room: Slug
    accepted: bool


class Block(Command):
    """Block or unblock a user; without a user, request the block list."""

    user_id: UserId | None = None
    on: bool = True


class Appoint(Command):
    """Give a member another role; the role of owner passes the room on."""

    room: Slug
    user_id: UserId
    role: Literal["owner", "moderator", "member"]


# Moderation.


class Kick(Command):
    """Remove a user from a room for `KICK_SECONDS`."""

    room: Slug
    user_id: UserId
    reason: Reason = ""


class Ban(Command):
    """Ban a user from a room; `address` also bans the addresses of the user."""

    room: Slug
    user_id: UserId
    seconds: Seconds | None = None
    reason: Reason = ""
    address: bool = False


class Unban(Command):
    """Lift the ban of a user."""

    room: Slug
    user_id: UserId


class Mute(Command):
    """Mute a user in a room; `address` also mutes the addresses of the user."""

    room: Slug
    user_id: UserId
    seconds: Seconds | None = None
    reason: Reason = ""
    address: bool = False


class Unmute(Command):
    """Lift the mute of a user."""

    room: Slug
    user_id: UserId


class Delete(Command):
    """Delete the text of a message."""

    room: Slug
    id: MessageId


class Report(Command):
    """Report a message to the moderators."""

    room: Slug
    id: MessageId
    reason: Reason = ""


AnyCommand = (
    Auth
    | Join
    | Joins
    | Leave
    | Message
    | History
    | Read
    | Typing
    | Signal
    | Presence
    | Ping
    | Pong
    | Answer
    | Create
    | Direct
    | Configure
    | Invite
    | Accept
    | Membership
    | Block
    | Appoint
    | Kick
    | Ban
    | Unban
    | Mute
    | Unmute
    | Delete
    | Report
    | Subscribe
    | Subscribes
    | Unsubscribe
    | Call
)
COMMANDS: dict[str, type[Command]] = {
    struct.__struct_config__.tag: struct for struct in get_args(AnyCommand)
}
