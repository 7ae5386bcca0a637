"""Topics for faults: one in which clients speak as they do in a room, and one of values."""

from datetime import timedelta

from realtime.models import Room
from realtime.topics import Command, Event, Topic, command


class Said(Event):
    """A text of a client, with its sender."""

    content: str
    sender: str


class Say(Command):
    """Say something; the same nonce is stored once."""

    content: str
    nonce: str


class Note(Command):
    """Set a text that may be changed later."""

    key: str
    content: str


class Erase(Command):
    """Delete a text."""

    key: str


class SpeechTopic(Topic):
    """Everybody may listen and speak. It is about the room of the same name."""

    model = Room
    path = "speech/<slug:slug>"
    events = [Said]
    keep = timedelta(days=7)
    slug: str

    def may_subscribe(self) -> bool:
        return bool(self.object.kind == Room.Kind.PUBLIC)

    @command
    async def say(self, command: Say) -> None:
        # Two clients may choose the same nonce.
        await self.apublish(self._said(command.content), nonce=self._own(command.nonce))

    @command
    async def note(self, command: Note) -> None:
        await self.aset(command.key, self._said(command.content))

    @command
    async def erase(self, command: Erase) -> None:
        await self.adelete(command.key)

    def _said(self, content: str) -> Said:
        return Said(content=content, sender=self.identity.user_id)

    def _own(self, nonce: str) -> str:
        return f"{nonce} {self.identity.user_id[-12:]}"


class Count(Event):
    """The value of a key."""

    number: int


class Put(Command):
    """Set the value of a key."""

    key: str
    number: int


class Drop(Command):
    """Delete the value of a key."""

    key: str


class CountTopic(Topic):
    """Everybody may see and change the values."""

    path = "count/<slug:room>"
    events = [Count]
    keep = timedelta(days=7)
    room: str

    def may_subscribe(self) -> bool:
        return True

    @command
    async def put(self, command: Put) -> None:
        await self.aset(command.key, Count(number=command.number))

    @command
    async def drop(self, command: Drop) -> None:
        await self.adelete(command.key)
