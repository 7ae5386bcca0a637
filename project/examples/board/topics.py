"""Two topics of a board: its notes, which are values of keys, and cursors, which are not stored."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import uuid4

from msgspec import Meta

from realtime.topics import Command, CommandError, Cost, ErrorCode, Event, Topic, command

__all__ = ["BoardTopic", "Colour", "CursorTopic"]

Place = Annotated[float, Meta(ge=0, le=1)]
"""A part of the width or the height of the board."""
Colour = Literal["amber", "green", "indigo", "rose"]
NOTES = 100


class Note(Event):
    """A note on the board; the value of its key."""

    x: Place
    y: Place
    text: Annotated[str, Meta(min_length=1, max_length=80)]
    colour: Colour
    author: str


class Cursor(Event):
    """Where the pointer of a user is; it is forgotten after a few seconds without another one."""

    user_id: str
    name: str
    x: Place
    y: Place


class Put(Command):
    """Put a note on the board, or move the one with this id."""

    x: Place
    y: Place
    text: Annotated[str, Meta(min_length=1, max_length=80)]
    colour: Colour = "amber"
    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")] | None = None


class Remove(Command):
    """Take a note off the board."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class Point(Command):
    """Tell the others where the pointer is."""

    x: Place
    y: Place


class BoardTopic(Topic):
    """The notes of a board, for everybody."""

    path = "board/<slug:slug>"
    events = [Note]
    keep = timedelta(days=30)
    slug: str

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True

    @command
    def put(self, command: Put) -> Note:
        """Put or move a note; the author stays the one who wrote it."""
        key = command.id or uuid4().hex
        known = self.get(key)
        if known is None and command.id is not None:
            raise CommandError(ErrorCode.CONFLICT, "The note was removed.", path="data.id")
        if known is None and len(self.values()) >= NOTES:
            raise CommandError(ErrorCode.LIMIT_EXCEEDED, "The board is full. Remove a note first.")
        author = known.data["author"] if known else self.identity.username
        note = Note(
            x=command.x, y=command.y, text=command.text, colour=command.colour, author=author
        )
        try:
            self.set(key, note, if_seq=known.seq if known else 0)
        except CommandError as error:
            if error.code != ErrorCode.CONFLICT:
                raise
            text = "Another user has moved or removed the note."
            raise CommandError(ErrorCode.CONFLICT, text, path="data.id") from error
        return note

    @command
    def remove(self, command: Remove) -> None:
        """Remove a note."""
        self.delete(command.id)


class CursorTopic(Topic):
    """The pointers over a board; they are sent once, and not stored."""

    path = "board/<slug:slug>/cursors"
    events = [Cursor]
    slug: str

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True

    @command(cost=Cost("command", 0.5))
    async def point(self, command: Point) -> None:
        """Tell the others where the pointer of this user is."""
        user = self.identity
        await self.apublish(
            Cursor(user_id=user.user_id, name=user.username, x=command.x, y=command.y)
        )
