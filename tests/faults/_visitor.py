"""A client that does everything there is, without giving up."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress

from harness.client.chatter import Chatter
from harness.client.conversation import Closed
from harness.client.encoding import Object
from harness.client.room_view import RoomView

__all__ = ["Visitor"]

ACTIONS_PER_SECOND = 1.5
SEEN = 1000
"""How much a client keeps of what came over its socket: it has to last for hours."""


class Glance(RoomView):
    """A view that keeps little of each message, as it has to last for hours."""

    def keep(self, message: Object) -> bool:
        kept = ("id", "seq", "changed_seq", "content")
        return super().keep({name: message[name] for name in kept if name in message})


class Visitor(Chatter):
    """Also leaves and comes back, looks back, and says what is not stored."""

    view = Glance

    def __init__(self, name: str, urls: Iterable[str], rooms: list[str], encoding: str) -> None:
        super().__init__(name, urls, rooms, encoding)
        self.dice = random.Random(name)
        self._number = 0

    async def be_busy(self, stop: asyncio.Event) -> None:
        """Do one thing after the other until `stop`, then wait for what is unanswered."""
        async with asyncio.TaskGroup() as doing:
            while not stop.is_set():
                await asyncio.sleep(self.dice.expovariate(ACTIONS_PER_SECOND))
                doing.create_task(self._act())

    async def _act(self) -> None:
        self._number += 1
        room = self.dice.choice(list(self.known))
        known = self.known[room]
        match self.dice.choices(
            ["say", "say much", "tell", "leave", "look back", "look around"],
            [50, 5, 20, 5, 10, 10],
        ):
            case ["say"]:
                await self.say(room, f"{self.name} {self._number}")
            case ["say much"]:
                texts = [f"{self.name} {self._number}.{part}" for part in range(5)]
                await asyncio.gather(*(self.say(room, text) for text in texts))
            case ["tell"]:
                await self._tell(room)
            case ["leave"] if known.is_joined:
                await self._ask("leave", f"leave {room}", room=room)
            case ["look back"]:
                before = self.dice.randint(1, known.position + 1)
                await self._ask("history", f"page {self._number}", room=room, before=before)
            case ["look around"]:
                await self._ask("presence", f"presence {self._number}", room=room)

    async def _tell(self, room: str) -> None:
        if self._client and self.known[room].is_joined:
            kind = self.dice.choice(["typing", "signal"])
            fields = {"data": {"number": self._number}} if kind == "signal" else {}
            with suppress(Closed):
                await self._client.send(kind, room=room, **fields)

    async def _take(self, item: Object) -> None:
        if self._client and len(self._client.seen) > SEEN:
            del self._client.seen[:-10]
        match item:
            case {"type": "left", "ref": ref, "room": room}:
                self._answered(ref)
                self.known[room].is_joined = False
                self._aside(self._return(room))
            case {"type": "presence", "ref": ref}:
                self._answered(ref)
            case {"type": "history", "ref": str(ref)} if ref.startswith("page"):
                self._look(item)
            case {"type": "joined", "through": _}:
                await super()._take(item)
            case {"type": "message" | "changed", "room": room}:
                self._must_be_in(room, item)
                await super()._take(item)
            case {"type": "typing" | "signal" | "joined" | "left" | "presence", "room": room}:
                self._must_be_in(room, item)
            case _:
                await super()._take(item)

    def _must_be_in(self, room: str, item: Object) -> None:
        if not self.known[room].is_joined:
            self.faults.append(f"{room}: not there, and heard {item}")

    def _look(self, page: Object) -> None:
        _, fields = self._open[page["ref"]]
        self._answered(page["ref"])
        seqs = [message["seq"] for message in page["messages"]]
        if seqs != sorted(set(seqs)) or any(seq >= fields["before"] for seq in seqs):
            self.faults.append(f"{page['room']}: a page before {fields['before']} has {seqs}")

    async def _return(self, room: str) -> None:
        await asyncio.sleep(self.dice.uniform(0.1, 3))
        if not self.known[room].is_joined and f"join {room}" not in self._open:
            await self._join(room)

    def _failed(self, error: Object) -> None:
        ref = error.get("ref")
        if error["code"] == "not_joined" and not self.known[error["room"]].is_joined:
            self._note_wait(ref)  # it was outside for a while, and says it again inside
        elif ref is not None or not error["retryable"]:
            super()._failed(error)
