"""The middle of the engine without sockets: a hub on the database, and members of rooms."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.client.encoding import Object
from harness.client.room_view import RoomView, changed_seq
from harness.waiting import eventually
from realtime.engine.database.executor import Database
from realtime.engine.delivery.catchup import attach
from realtime.engine.delivery.hub import Hub
from realtime.engine.delivery.log import read_marks
from realtime.engine.delivery.room_topic import RoomTopic, room_event
from realtime.models import Room
from realtime.store.logs import LogMark
from realtime.store.messages.drafts import Stored
from realtime.wire.codecs import JSON, Codec
from realtime.wire.commands import Since
from realtime.wire.events import MessageState
from tests.engine import log
from tests.engine.ends import End


class Member(End):
    """A client of the protocol in one room; `faults` lists broken promises."""

    def __init__(self, name: str, hub: Hub, db: Database, codec: Codec = JSON) -> None:
        super().__init__(name, codec)
        self.hub = hub
        self.db = db
        self.topic: RoomTopic | None = None

    async def join(
        self, room: Room, since: Since | None = None, limit: int = 100, *, comes_back: bool = False
    ) -> Object:
        """Join as a consumer does; the reply stands among the frames of the client."""
        if comes_back:
            known = self.known()
            since = Since(seq=known.position, epoch=known.epoch)
        topic = await self.hub.open_room(room.pk, room.slug)
        self.connection.unsubscribe(topic)
        caught = await attach(self.hub, self.db, topic, self.connection, since=since, limit=limit)
        self.topic = topic
        reply = {
            "type": "joined",
            "through": caught.through,
            "epoch": topic.position.epoch,
            "recovered": caught.recovered,
            "has_more": caught.has_more,
            "messages": msgspec.to_builtins(caught.states),
        }
        self.outbox.send(msgspec.json.encode(reply).decode())
        return reply

    def leave(self) -> None:
        if self.topic is not None:
            self.connection.unsubscribe(self.topic)

    def known(self) -> "Known":
        """What a client knows that has received everything so far."""
        known = Known()
        for item in self.items:
            known.receive(item)
        return known


@dataclass
class Known(RoomView):
    """The view of a client, made from the frames that it got; `faults` lists broken promises."""

    faults: list[str] = field(default_factory=list)

    @property
    def states(self) -> dict[int, tuple[int, str]]:
        """The last change and the content of each message, by its place in the log."""
        return {one["seq"]: (changed_seq(one), one["content"]) for one in self.messages.values()}

    def receive(self, item: Object) -> None:
        match item["type"]:
            case "joined":
                self._join(item)
            case "message" | "changed":
                self._advance(item)

    def _join(self, item: Object) -> None:
        if not item["recovered"]:
            self.messages.clear()
        self.faults += [f"{one} is beyond {item['through']}" for one in self.misplaced(item, 0)]
        self.faults += [f"{one} again" for one in item["messages"] if not self.keep(one)]
        self.enter(item)

    def _advance(self, event: Object) -> None:
        if fault := self.fault_of(event):
            self.faults.append(fault)
        if not self.advance(event):
            self.faults.append(f"{event} again")


class Process:
    """A hub with its own threads; several of them in one loop are several server processes."""

    def __init__(self, origin: str = "one") -> None:
        self.origin = origin
        self.db = Database()
        self.hub = Hub(origin, self.db)
        self._number = 0

    async def __aenter__(self) -> "Process":
        self.hub.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.hub.stop()
        await self.db.stop()

    def member(self, codec: Codec = JSON) -> Member:
        self._number += 1
        return Member(f"{self.origin}.{self._number}", self.hub, self.db, codec)

    async def joined(self, room: Room, codec: Codec = JSON, **options: Any) -> Member:
        made = self.member(codec)
        await made.join(room, **options)
        return made

    def positions(self) -> dict[str, int]:
        """The positions of all topics by log key."""
        return {topic.name: topic.position.seq for topic in self.hub.logs}

    async def marks(self) -> dict[str, LogMark]:
        """The ends of the logs of all topics by log key."""
        return await self.db.read(read_marks, [topic.log for topic in self.hub.logs])

    async def append(self, room: Room, *contents: str) -> list[Stored]:
        """Store messages without a broadcast."""
        return await self.db.write(log.append, room.pk, *contents)

    async def say(self, room: Room, *contents: str) -> list[Stored]:
        """Store messages and broadcast them."""
        stored = await self.append(room, *contents)
        for one in stored:
            self.hub.publish_message(one._replace(slug=room.slug))
        return stored

    def receive(self, room: Room, stored: Stored) -> None:
        """Receive a message of another process."""
        self.receive_state(room, stored.state, stored.epoch)

    def receive_state(self, room: Room, state: MessageState, epoch: str) -> None:
        event = room_event(room.slug, state)
        self.hub.publish(f"room.{room.pk}", event.note(epoch))

    def topic(self, room: Room) -> RoomTopic:
        found = self.hub.room(room.pk)
        assert found is not None
        return found


async def arrived(member: Member, position: int, seconds: float = 10) -> None:
    """Wait until a member has reached `position`."""
    await eventually(
        lambda: member.known().position >= position, seconds, f"{position} at {member.outbox.id}"
    )
