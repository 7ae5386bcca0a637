"""Topics for faults: one in which clients speak as they do in a room, and one of values."""

from datetime import timedelta

from realtime.topics import Command, Event, Topic, command


class Said(Event):
    """A text of a client, with its sender."""

    content: str
    sender: str


class Say(Command):
    """Say something; the same nonce is stored once."""

    content: str
    nonce: str


class SpeechTopic(Topic):
    """Everybody may listen and speak."""

    path = "speech/<slug:room>"
    events = [Said]
    keep = timedelta(days=7)
    room: str

    def may_subscribe(self) -> bool:
        return True

    @command
    async def say(self, command: Say) -> None:
        said = Said(content=command.content, sender=self.identity.user_id)
        await self.apublish(said, nonce=command.nonce)


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
