"""What a client may send: one struct a command, told apart by `type`."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from .clean import MAX_INTEGER

__all__ = [
    "COMMANDS",
    "AnyCommand",
    "Auth",
    "Command",
    "History",
    "Join",
    "Joins",
    "Leave",
    "Message",
    "Ping",
    "Presence",
    "Read",
    "Signal",
    "Since",
    "Typing",
]

Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Ref = Annotated[str, Meta(max_length=64)] | Integer
Slug = Annotated[str, Meta(min_length=1, max_length=100)]
Seq = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=100)]


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


class Target(Struct, kw_only=True):
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

    rooms: Annotated[list[Target], Meta(min_length=1, max_length=100)]


class Leave(Command):
    """Leave a room."""

    room: Slug


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


AnyCommand = (
    Auth | Join | Joins | Leave | Message | History | Read | Typing | Signal | Presence | Ping
)
COMMANDS: dict[str, type[Command]] = {
    struct.__name__.lower(): struct
    for struct in (
        Auth,
        Join,
        Joins,
        Leave,
        Message,
        History,
        Read,
        Typing,
        Signal,
        Presence,
        Ping,
    )
}
