"""Notes: the messages that processes send each other through the channel layer.

On the wire a note is a list: its tag, then its fields. Processes of other versions read and write
the same lists during a rolling deploy, so no tag and no order of fields may change.
"""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, get_args

import msgspec
from msgspec.structs import astuple

__all__ = [
    "MAX_SECONDS",
    "Answered",
    "Broadcast",
    "Cause",
    "Close",
    "Direct",
    "Inspect",
    "LogEvent",
    "NodeChanged",
    "Note",
    "Outcome",
    "Past",
    "People",
    "PresenceDiff",
    "Probe",
    "ProcessNote",
    "Question",
    "Revalidate",
    "RightsChanged",
    "RoomMove",
    "Trace",
    "Transfer",
    "UnknownKind",
    "Watch",
    "decode",
    "encode",
]

People = list[tuple[str, str, str]]
"""The user id, name and connection of each user."""
CLOSE_CODES = range(4000, 5000)
MAX_SECONDS = 3600
"""The longest time that a question may be open."""


class _Note(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    @property
    def tag(self) -> str:
        """The kind of the note on the wire."""
        return str(self.__struct_config__.tag)


class Broadcast(_Note, tag="say"):
    """Deliver one JSON frame to all members of the topic, except one connection."""

    text: str
    exclude: str


class Direct(_Note, tag="whisper"):
    """Deliver one JSON frame to one connection of the topic, or to all if it is empty."""

    text: str
    connection: str


class Close(_Note, tag="end"):
    """Close one connection of the topic, or all if it is empty."""

    code: int
    reason: str
    connection: str


class Cause(StrEnum):
    """Why connections are revalidated."""

    USER = "user"
    """The user has changed."""
    SANCTION = "sanction"
    """A site-wide ban or mute of these connections has changed, of their user or address."""
    SITE = "site"
    """A site-wide ban or mute has changed, so all earlier checks are void; sent to everyone."""
    RIGHTS = "rights"
    """Rights that count in more than one room have changed, perhaps those of all users."""
    LOGOUT = "session"
    """The session whose digest is `which` has ended."""
    REVOCATION = "token"
    """The token whose id is `which` was revoked."""


class Revalidate(_Note, tag="look"):
    """Revalidate the connections of the topic.

    `cause` is the value of a `Cause`, or one that only a newer version knows.
    """

    cause: str
    which: str


class LogEvent(_Note, tag="log"):
    """Deliver an event of a room's log; `text` is its frame, which repeats `seq` and `first`."""

    seq: int | None
    first: int | None
    epoch: str
    text: str


class PresenceDiff(_Note, tag="people"):
    """Announce the users who joined and left a room; `text` is JSON (`of`, `read`)."""

    text: str

    @classmethod
    def of(cls, joined: Sequence[Sequence[Any]], left: Sequence[Sequence[Any]]) -> "PresenceDiff":
        """Return the note of the users who joined and left, each as in `People`."""
        return cls(json.dumps([joined, left]))

    def read(self) -> tuple[People, People]:
        """Return the users who joined and left. Raises `ValueError`."""
        return _decode_people(self.text)


class RightsChanged(_Note, tag="rights"):
    """Announce a room's new `rights_seq`; `user_id` is empty if several users are concerned."""

    user_id: str
    seq: int


class RoomMove(_Note, tag="move"):
    """Have one connection of the topic join or leave a room, or all if it is empty.

    `reason` is the text for a client that has to leave.
    """

    room: str
    joins: bool
    reason: str
    connection: str


class Transfer(_Note, tag="transfer"):
    """Have one connection of the topic move from a room to another one, or all if it is empty.

    One that is not in the first room stays where it is. `reason` is the text for its client.
    """

    room: str
    to: str
    reason: str
    connection: str


class Probe(_Note, tag="fence"):
    """Prove that this process receives the topic, when its own token comes back."""

    token: str


class Question(_Note, tag="ask"):
    """Ask one connection of the node; `text` is the frame of the `ask`.

    The result goes to the topic `reply`. After `seconds`, no answer is taken any more.
    """

    ref: str
    text: str
    connection: str
    reply: str
    seconds: float


class Outcome(StrEnum):
    """What is known of a question."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The client has answered with the code of an error."""
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Answered(_Note, tag="answer"):
    """The result of a question; `outcome` is the value of an `Outcome`.

    `text` is the data of an answer as JSON; else it is a sentence for the error `code`, or empty.
    """

    ref: str
    outcome: str
    code: str
    text: str


class Watch(_Note, tag="watch"):
    """Have each process publish its numbers once a second, for so many seconds."""

    seconds: float


class NodeChanged(_Note, tag="node"):
    """Have the process of the topic read the row of its node again."""


class Inspect(_Note, tag="inspect"):
    """Ask one process about what it serves; `text` is the question as JSON.

    The result goes to the topic `reply`, as an `Answered` with this `ref`.
    """

    ref: str
    text: str
    reply: str


class Past(_Note, tag="past"):
    """Keep what a process did before it ended; `text` has its steps as JSON (`engine.series`)."""

    node: str
    text: str


class Trace(_Note, tag="trace"):
    """Have each process read which users and connections are traced.

    `repeat` is a trace whose last lines are to be published again, or 0.
    """

    repeat: int


ProcessNote = Watch | Inspect | Past | NodeChanged | Trace
"""The notes to a whole process."""

Note = (
    Answered
    | Broadcast
    | Direct
    | Close
    | Revalidate
    | LogEvent
    | PresenceDiff
    | RightsChanged
    | RoomMove
    | Transfer
    | Probe
    | Question
    | Watch
    | Inspect
    | NodeChanged
    | Past
    | Trace
)
KINDS: dict[Any, type[Note]] = {kind.__struct_config__.tag: kind for kind in get_args(Note)}


class UnknownKind(ValueError):  # noqa: N818 - not a fault: another version sent it
    """A note has a kind that this version does not know."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Frame(msgspec.Struct):
    type: str


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_people = msgspec.json.Decoder(tuple[People, People]).decode


def encode(note: Note) -> list[Any]:
    """Return the list that the channel layer carries."""
    # Not `to_builtins`: it refuses subclasses of `str`, such as Django's `SafeString`.
    return [note.tag, *astuple(note)]


def decode(item: object) -> Note:
    """Return the note that another process sent as a list.

    The text of a `LogEvent` or `PresenceDiff` is checked when it is read. Raises `UnknownKind`,
    or `ValueError` or `RecursionError` for a broken note.
    """
    if not (isinstance(item, list) and item and isinstance(item[0], str)):
        raise ValueError("a note is a list that begins with its kind")
    kind = KINDS.get(item[0])
    if kind is None:
        raise UnknownKind(item[0])
    # Not as a union: for every note, msgspec would examine its members, which costs 6 us.
    note: Note = msgspec.convert(item, kind)
    _check(note)
    return note


def _check(note: Note) -> None:
    """Raise `ValueError` for values that a client could not handle."""
    match note:
        case Question(seconds=seconds) if not 0 < seconds <= MAX_SECONDS:
            raise ValueError("a question is open for a time above 0 seconds")
        case LogEvent(text=text):
            if "\n" in text:
                raise ValueError("an event is one line")
        case Broadcast(text=text) | Direct(text=text) | Question(text=text):
            if "\n" in text:
                raise ValueError("a frame is one line")
            _decode_frame(text)
        case Close(code=code) if code not in CLOSE_CODES:
            raise ValueError("a close code is from 4000 to 4999")
