"""A client of a consumer in this process; `faults` has where the server broke the protocol."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from harness.client.encoding import Object
from harness.client.in_process import Socket
from harness.client.room_view import RoomView, changed_seq

__all__ = ["OUTSIDE", "Device", "Said", "Shown", "shown"]

OUTSIDE = {"not_joined", "unknown_room"}
"""Errors that say that one is not in the room, or not any more."""
PASSED_OVER = {"joined", "left", "presence", "typing"}
Shown = tuple[int, int, str]


class Said(NamedTuple):
    """What somebody has sent; no two have the same content."""

    room: str
    sender: str
    nonce: str | None
    content: str


@dataclass
class Screen(RoomView):
    """What a device shows of a room: everything above `floor`, and some of what is below."""

    floor: int = 0

    @property
    def shown(self) -> dict[int, Shown]:
        """All that is on it, by the message's id."""
        return {key: shown(message) for key, message in self.messages.items()}

    def go_back(self, position: int) -> None:
        """Forget what came after an earlier position."""
        self.position = position
        self.messages = {
            key: one for key, one in self.messages.items() if changed_seq(one) <= position
        }


class Device:
    """Somebody's phone: it loses its line, resumes, and repeats what has a nonce."""

    def __init__(self, name: str, rooms: Iterable[str], user: Any = None) -> None:
        self.name = name
        self.user = user
        self.user_id = ""
        self.connection = ""
        self.line: Socket | None = None
        self.screens = {room: Screen() for room in rooms}
        self.answers: dict[int, Object] = {}
        self.waiting: dict[int, Said] = {}
        self.acks: list[tuple[Said, Object]] = []
        self.refusals: list[tuple[Said, str]] = []
        self.faults: list[str] = []
        self._resumed_from: dict[int, int] = {}
        self._refs = itertools.count(1)
        self._token = ""

    def __repr__(self) -> str:
        return self.name

    @property
    def rooms(self) -> list[str]:
        """Where it is."""
        return [room for room, screen in self.screens.items() if screen.is_joined]

    async def open(self, encoding: str) -> None:
        """Connect, as the one it was before."""
        path = f"/ws?token={quote(self._token)}" if self._token else "/ws"
        scope = {"user": self.user} if self.user else {}
        self.line = await Socket(path, encoding=encoding, **scope).__aenter__()
        welcome = self.line.welcome
        if self.user_id not in ("", welcome["user_id"]):
            self.faults.append(f"{self.user_id} came back as {welcome['user_id']}")
        self.user_id, self.connection = welcome["user_id"], welcome["connection"]
        self._token = welcome.get("guest_token", "")

    async def vanish(self) -> list[Said]:
        """Lose the line, with all that is on it; returns what was not acknowledged."""
        assert self.line
        line, self.line = self.line, None
        await line.communicator.send_input({"type": "websocket.disconnect", "code": 1006})
        await line.communicator.wait(10)
        for screen in self.screens.values():
            screen.is_joined = False
        lost = list(self.waiting.values())
        self.waiting = {ref: said for ref, said in self.waiting.items() if said.nonce}
        return lost

    async def ask(self, kind: str, **fields: Any) -> int:
        """Send a command; its reply goes to `answers`, under the number that is returned."""
        assert self.line
        ref = next(self._refs)
        self._resumed_from[ref] = fields.get("since", {"seq": 0})["seq"]
        await self.line.send(kind, ref=ref, **fields)
        return ref

    async def say(self, said: Said, ref: int | None = None) -> None:
        """Send a message, for the first time or again."""
        assert self.line
        ref = ref or next(self._refs)
        self.waiting[ref] = said
        nonce = {"nonce": said.nonce} if said.nonce else {}
        await self.line.send("message", ref=ref, room=said.room, content=said.content, **nonce)

    async def repeat(self, room: str) -> None:
        """Send again what was not acknowledged."""
        for ref, said in list(self.waiting.items()):
            if said.room == room:
                await self.say(said, ref)

    def is_answered(self, room: str) -> bool:
        """Whether nothing that was sent to a room waits for its answer."""
        return all(said.room != room for said in self.waiting.values())

    def read(self) -> None:
        """Take what has come."""
        for item in self.line.arrived() if self.line else ():
            self._take(item)

    def _take(self, item: Object) -> None:
        match item:
            case {"type": "ack", "ref": ref}:
                self.acks.append((self.waiting.pop(ref), item))
            case {"type": "error", "ref": ref, "code": code} if ref in self.waiting:
                said = self.waiting.pop(ref)
                self.refusals.append((said, code))
                self.screens[said.room].is_joined &= code not in OUTSIDE
            case {"ref": ref}:
                self.answers[ref] = item
                self._move(item)
            case {"type": "removed", "room": room}:
                self.screens[room].is_joined = False
            case {"type": "resync", "room": room}:
                self.screens[room] = Screen()
            case _:
                self._hear(item)

    def _move(self, reply: Object) -> None:
        match reply["type"]:
            case "joined":
                self._joined(reply, self.screens[reply["room"]])
            case "left":
                self.screens[reply["room"]].is_joined = False

    def _joined(self, reply: Object, screen: Screen) -> None:
        since = self._resumed_from[reply["ref"]]
        if reply["recovered"]:
            screen.go_back(since)  # where it asked from inside, some has come meanwhile
            screen.floor = min(screen.floor, since)
        else:
            since, screen.floor = 0, reply["through"]
            screen.messages.clear()
        for message in screen.misplaced(reply, since):
            self.faults.append(f"{self} resumed from {since}, and got {message}")
        for message in reply["messages"]:
            if not screen.keep(message):
                self.faults.append(f"{self} resumed, and got {message} again")
        screen.enter(reply)

    def _hear(self, event: Object) -> None:
        screen = self.screens[event["room"]]
        if not screen.is_joined:
            self.faults.append(f"{self} is not there, and hears {event}")
        match event:
            case {"type": "message" | "changed"}:
                self._advance(screen, event)
            case {"type": kind} if kind not in PASSED_OVER:
                self.faults.append(f"{self} hears {event}")

    def _advance(self, screen: Screen, event: Object) -> None:
        if fault := screen.fault_of(event):
            self.faults.append(f"{self}: {fault}, by {event}")
        if not screen.advance(event):
            self.faults.append(f"{self} shows it already: {event}")


def shown(message: Object) -> Shown:
    """As it stands on a screen: its place, the position of its last change, and its text."""
    return message["seq"], changed_seq(message), message["content"]
