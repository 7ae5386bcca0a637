"""How each server is spoken to: where a room is, how to enter it, what a message looks like."""

import re
from typing import TYPE_CHECKING

from msgspec.json import encode as _json

from harness.client.encoding import subprotocol

if TYPE_CHECKING:
    from .sockets import Socket

__all__ = ["DIALECTS", "Dialect"]


class Dialect:
    """A room is a path, a message is the text itself, and everybody in the room gets it."""

    path = "/{room}"
    subprotocol = ""
    hears_itself = True
    """Whether a sender gets its own messages."""
    ack = re.compile(rb"(?!)")
    """Finds the nonce that an acknowledgement carries."""

    def url(self, base: str, room: str) -> str:
        """Where a room's socket is opened."""
        return base + self.path.format(room=room)

    async def enter(self, socket: "Socket", room: str) -> None:
        """Do what has to be done once the socket is open."""

    def message(self, room: str, text: str, nonce: int) -> bytes:
        """The frame that sends a text to a room."""
        return text.encode()

    def answer(self, frame: bytes) -> bytes | None:
        """What a frame has to be answered with at once, if anything."""
        return None


class Realtime(Dialect):
    """Protocol v1; `subprotocol` tells the encoding."""

    path = "/ws"
    subprotocol = subprotocol("json")
    ack = re.compile(rb'"type":"ack","room":"[^"]+","seq":\d+,"id":\d+[^}]*"nonce":"(\d+)"')

    async def enter(self, socket: "Socket", room: str) -> None:
        await socket.heard(b'"type":"welcome"')
        await self.join(socket, room)

    async def join(self, socket: "Socket", room: str, since: object = None) -> bytes:
        """Enter a room, maybe from a position; returns the reply."""
        socket.send(_json({"type": "join", "room": room, "history": 0, "since": since}))
        return await socket.heard(b'"through"')

    def message(self, room: str, text: str, nonce: int) -> bytes:
        return _json({"type": "message", "room": room, "content": text, "nonce": str(nonce)})

    def answer(self, frame: bytes) -> bytes | None:
        return b'{"type":"pong"}' if frame == b'{"type":"ping"}' else None


class Ndjson(Realtime):
    """The same, with several events in a frame under load."""

    subprotocol = subprotocol("ndjson")


class Hello(Realtime):
    """Nothing but the handshake and the welcome."""

    async def enter(self, socket: "Socket", room: str) -> None:
        await socket.heard(b'"type":"welcome"')


class Signal(Realtime):
    """What is not stored."""

    hears_itself = False

    def message(self, room: str, text: str, nonce: int) -> bytes:
        return _json({"type": "signal", "room": room, "data": {"text": text}})


class NdjsonSignal(Signal):
    """What is not stored, several in a frame under load."""

    subprotocol = subprotocol("ndjson")


class Feed(Realtime):
    """A topic of the site, whose last part is the room."""

    def __init__(self, prefix: str = "feed") -> None:
        self._prefix = prefix

    async def enter(self, socket: "Socket", room: str) -> None:
        await socket.heard(b'"type":"welcome"')
        socket.send(_json({"type": "subscribe", "topic": f"{self._prefix}/{room}", "history": 0}))
        await socket.heard(b'"type":"subscribed"')


class NdjsonFeed(Feed):
    """The same, with several events in a frame under load."""

    subprotocol = subprotocol("ndjson")


class Stock(Dialect):
    """The chat of the Channels tutorial."""

    path = "/ws/chat/{room}/"

    def message(self, room: str, text: str, nonce: int) -> bytes:
        return _json({"message": text})


class Tutorial(Stock):
    """The same with three lines changed: its consumer subscribes to a topic."""

    path = "/ws/tutorial/{room}/"


class KeptTutorial(Stock):
    """The same with a topic that keeps what is said."""

    path = "/ws/kept/{room}/"


class StockPersist(Stock):
    """The same with a row a message, and an acknowledgement after it."""

    path = "/ws/persist/{room}/"
    ack = re.compile(rb'"ack": ?"(\d+)"')

    def message(self, room: str, text: str, nonce: int) -> bytes:
        return _json({"message": text, "nonce": str(nonce)})


class StockSession(Stock):
    """Nothing but the handshake and the name of the session's user."""

    path = "/ws/session/"

    async def enter(self, socket: "Socket", room: str) -> None:
        await socket.heard(b'"user"')


class Bare(Stock):
    """An accepted socket, and nothing else."""

    path = "/ws/bare/"


class SocketIO(Dialect):
    """Socket.IO on a WebSocket alone: Engine.IO packets of version 4."""

    path = "/socket.io/?EIO=4&transport=websocket"

    async def enter(self, socket: "Socket", room: str) -> None:
        await socket.heard(b"0{")
        socket.send(b"40")
        await socket.heard(b"40")
        socket.send(b"42" + _json(["join", room]))
        await socket.heard(b'"joined"')

    def message(self, room: str, text: str, nonce: int) -> bytes:
        return b"42" + _json(["message", room, text])

    def answer(self, frame: bytes) -> bytes | None:
        return b"3" if frame == b"2" else None


DIALECTS: dict[str, Dialect] = {
    "json": Realtime(),
    "ndjson": Ndjson(),
    "hello": Hello(),
    "signal": Signal(),
    "ndjson-signal": NdjsonSignal(),
    "feed": Feed(),
    "ndjson-feed": NdjsonFeed(),
    "flash": Feed("flash"),
    "tutorial": Tutorial(),
    "kept-tutorial": KeptTutorial(),
    "stock": Stock(),
    "stock-persist": StockPersist(),
    "stock-session": StockSession(),
    "bare": Bare(),
    "socketio": SocketIO(),
    "plain": Dialect(),
}
