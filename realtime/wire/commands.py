"""What a client may send: one struct a command, told apart by `type`."""

from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from .clean import MAX_INTEGER

__all__ = [
    "COMMANDS",
    "MAX_SLOW_SECONDS",
    "REASON_CHARACTERS",
    "TITLE_CHARACTERS",
    "Accept",
    "AnyCommand",
    "Appoint",
    "Auth",
    "Ban",
    "Block",
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
    "Typing",
    "Unban",
    "Unmute",
]

# What the tables hold as well.
MAX_SLOW_SECONDS = 24 * 60 * 60
REASON_CHARACTERS = 500
TITLE_CHARACTERS = 200

Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Ref = Annotated[str, Meta(max_length=64)] | Integer
Slug = Annotated[str, Meta(min_length=1, max_length=100)]
Seq = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=100)]
UserId = Annotated[str, Meta(min_length=1, max_length=150)]
MessageId = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Reason = Annotated[str, Meta(max_length=REASON_CHARACTERS)]
Seconds = Annotated[int, Meta(ge=1, le=100 * 365 * 24 * 60 * 60)]
Title = Annotated[str, Meta(max_length=TITLE_CHARACTERS)]


class Command(Struct, kw_only=True, tag_field="type", tag=str.lower):
    """Any command; its reply carries the same `ref`."""

    ref: Ref | None = None


class Since(Struct):
    """The position a client has, and the epoch it was counted in."""

    seq: Seq
    epoch: Annotated[str, Meta(max_length=8)]


class Auth(Command):
    """Say who you are: a token, or as a guest the name you want."""

    token: Annotated[str, Meta(max_length=4096)] | None = None
    name: Annotated[str, Meta(max_length=150)] | None = None


class JoinTarget(Struct, kw_only=True):
    """A room to join, and what to bring from it."""

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
    """Leave a room; `for_good` also gives the place in it back."""

    room: Slug
    for_good: bool = False


class Message(Command):
    """Store a message and tell the room; `nonce` makes repeating it harmless."""

    room: Slug
    content: str
    nonce: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    data: dict[str, Any] | None = None


class History(Command):
    """A page of messages: before a place, or changed after a position."""

    room: Slug
    before: Seq | None = None
    after: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class Read(Command):
    """How far the user has read."""

    room: Slug
    seq: Seq


class Typing(Command):
    """The user is writing."""

    room: Slug


class Signal(Command):
    """Tell the room something that is not stored."""

    room: Slug
    data: dict[str, Any]


class Presence(Command):
    """Ask who is in a room."""

    room: Slug


class Ping(Command):
    """Ask for a `pong` with the same `t`."""

    t: Integer | float | str | None = None


class Pong(Command):
    """The answer to the server's `ping`, with its `t` if it has one.

    To a `ping` without `t` anything else that is sent is as good.
    """

    t: Annotated[str, Meta(max_length=64)] | None = None


# Rooms.


class Create(Command):
    """Make a room of one's own."""

    title: Title
    room: Annotated[str, Meta(max_length=100)] = ""
    kind: Literal["public", "private"] = "public"


class Direct(Command):
    """Find or make the room of oneself and one other user."""

    user_id: UserId | None = None
    username: UserId | None = None


class Configure(Command):
    """Change what is set about a room."""

    room: Slug
    title: Title | None = None
    slow_seconds: Annotated[int, Meta(ge=0, le=MAX_SLOW_SECONDS)] | None = None
    read_only: bool | None = None


class Invite(Command):
    """Give a user a place in a private room; with nobody named, ask for an invitation."""

    room: Slug
    user_id: UserId | None = None
    username: UserId | None = None
    void: bool = False


class Accept(Command):
    """Take the place that an invitation offers."""

    invitation: Annotated[str, Meta(max_length=1000)]


class Membership(Command):
    """Accept a direct room that a stranger has opened, or leave it for good."""

    room: Slug
    accepted: bool


class Block(Command):
    """Block or unblock a user; with nobody named, ask whom one has blocked."""

    user_id: UserId | None = None
    on: bool = True


class Appoint(Command):
    """Give a member another role; as owner, pass the room on."""

    room: Slug
    user_id: UserId
    role: Literal["owner", "moderator", "member"]


# Moderation.


class Kick(Command):
    """Put somebody out of a room, for `KICK_SECONDS`."""

    room: Slug
    user_id: UserId
    reason: Reason = ""


class Ban(Command):
    """Keep somebody out of a room; with `address` whoever comes from where they are, too."""

    room: Slug
    user_id: UserId
    seconds: Seconds | None = None
    reason: Reason = ""
    address: bool = False


class Unban(Command):
    """Let somebody in again."""

    room: Slug
    user_id: UserId


class Mute(Command):
    """Let somebody listen only."""

    room: Slug
    user_id: UserId
    seconds: Seconds | None = None
    reason: Reason = ""
    address: bool = False


class Unmute(Command):
    """Let somebody speak again."""

    room: Slug
    user_id: UserId


class Delete(Command):
    """Take a message's text away."""

    room: Slug
    id: MessageId


class Report(Command):
    """Complain about a message."""

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
)
COMMANDS: dict[str, type[Command]] = {
    struct.__struct_config__.tag: struct for struct in get_args(AnyCommand)
}
