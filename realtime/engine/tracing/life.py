"""The life of one traced connection, as its traces tell it."""

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from ...store.accounts.identity import Credential, Identity
from ...store.traces import TOPICS
from ...wire.decoder import Decoded
from ...wire.errors import CLOSE_CODES, CloseCode
from ...wire.packet import Packet, byte_length
from ..connections.stats import AGENT, snapshot
from .feed import Feed
from .kinds import kind_of_command, kinds_of_frame

if TYPE_CHECKING:
    from ..connections.connection import Connection

__all__ = ["LOST", "Life", "write"]

logger = logging.getLogger("realtime.trace")
"""Not limited to one line a second: `Bounds` limits the lines of each trace."""

LOST = 1006
"""The code of a socket that has ended without one (RFC 6455, section 7.4.1)."""
SLUG = re.compile(r"[-\w]{1,100}", re.ASCII)
KINDS = 5
"""The most kinds that are named of one frame."""
TEXTS = {
    "begin": "connection %(connection)s begins at %(path)s, with %(encoding)s",
    "found": "connection %(connection)s is open, with %(subscriptions)d rooms and topics",
    "identified": "connection %(connection)s is of the user %(user)s, by %(proof)s",
    "other_user": "connection %(connection)s is of another user now, and is not traced any more",
    "received": "connection %(connection)s: received %(type)s, %(bytes)d bytes",
    "sent": "connection %(connection)s: sent %(type)s, %(bytes)d bytes",
    "right": "connection %(connection)s: the right in %(room)s%(topic)s is %(answer)s",
    "slow": "connection %(connection)s reads slowly: %(frames)d frames, %(bytes)d bytes wait",
    "caught_up": "connection %(connection)s reads again: no frame waits",
    "end": "connection %(connection)s ends: %(reason)s (%(code)d)",
}


class Life:
    """Tells the traces of a connection what happens to it: kinds and sizes, but no contents."""

    __slots__ = ("_connection", "feeds")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.feeds: list[Feed] = []
        """The traces that concern the connection."""

    def begin(self, feeds: list[Feed]) -> None:
        """Tell new traces how the connection has begun."""
        self._tell("begin", feeds, **_handshake(self._connection))

    def found(self, feeds: list[Feed]) -> None:
        """Tell new traces of an open connection what it has done so far."""
        self._tell("found", feeds, **_state(self._connection))

    def identified(self, identity: Identity, credential: Credential) -> None:
        """Tell which user the client is, and what proves it."""
        proof = _proof(identity, credential)
        self._tell("identified", self.feeds, user=identity.user_id, proof=proof)

    def leave(self, feeds: list[Feed]) -> None:
        """Tell traces of a user that the connection has another user now."""
        self._tell("other_user", feeds)

    def received(self, decoded: Decoded, size: int) -> None:
        """Tell that the client has sent a command, or what is none."""
        self.received_as(kind_of_command(decoded), size)

    def received_as(self, kind: str, size: int) -> None:
        """Tell that the client has sent a frame or command of this kind."""
        admitted = [feed for feed in self.feeds if feed.admit_received(size)]
        self._write("received", admitted, {"type": kind, "bytes": size})

    def sent(self, packet: Packet) -> None:
        """Tell that frames were sent, or wait in the send queue."""
        most = 0
        for feed in self.feeds:
            most = max(most, feed.admit_sent(packet))
        if most:
            for frame in packet.frames[:most]:
                self._sent_frame(frame)

    def right(self, answer: str, *, room: str = "", topic: str = "") -> None:
        """Tell the answer to the question for the rights in a room or topic.

        A room may be one that does not exist: then its name is what the client has written.
        """
        room = room if not room or SLUG.fullmatch(room) else "?"
        self._tell("right", self.feeds, room=room, topic=topic, answer=answer)

    def slow(self, frames: int, size: int) -> None:
        """Tell that many frames wait in the send queue."""
        self._tell("slow", self.feeds, frames=frames, bytes=size)

    def caught_up(self) -> None:
        """Tell that no frame waits any more."""
        self._tell("caught_up", self.feeds)

    def end(self, end_code: int | None, client_code: int) -> None:
        """Tell that the connection has ended, with the code of the server or of the client."""
        reason = _reason(end_code)
        self._tell("end", self.feeds, code=end_code or client_code or LOST, reason=reason)

    def _sent_frame(self, frame: str | bytes) -> None:
        kinds = kinds_of_frame(self._connection.codec, frame, TOPICS)
        if not kinds:
            return  # what a trace has told; it would be told again for ever
        shown = ", ".join(dict.fromkeys(kinds[:KINDS]))
        values = {"type": shown, "bytes": byte_length(frame)}
        if len(kinds) > 1:
            values["events"] = len(kinds)
        admitted = [feed for feed in self.feeds if feed.admit_frame()]
        self._write("sent", admitted, values)

    def _tell(self, event: str, feeds: list[Feed], **values: Any) -> None:
        self._write(event, [feed for feed in feeds if feed.admit()], values)

    def _write(self, event: str, feeds: list[Feed], values: dict[str, Any]) -> None:
        if feeds:
            write(event, feeds, {"connection": self._connection.id, **values})


def write(event: str, feeds: list[Feed], values: dict[str, Any]) -> None:
    """Add a line to traces, and write it to the log."""
    for feed in feeds:
        feed.add({"event": event, **values})
    if logger.isEnabledFor(logging.DEBUG):
        traces = [feed.trace for feed in feeds]
        logger.debug(TEXTS[event], {**values, "event": event, "traces": traces})


def _handshake(connection: "Connection") -> dict[str, Any]:
    return {
        "path": connection.path,
        "encoding": connection.codec.subprotocol,
        "address": connection.peer_address,
        "agent": connection.headers.get("User-Agent", "")[:AGENT],
        "request_id": connection.request_id[:AGENT],
    }


def _state(connection: "Connection") -> dict[str, Any]:
    stats = snapshot(connection)
    return {
        "user": stats.user_id,
        "address": stats.address,
        "seconds": max(0, round(time.time() - stats.connected_at)),
        "subscriptions": stats.subscriptions,
        "frames_received": stats.frames_received,
        "frames_sent": stats.frames_sent,
        "queued_frames": stats.queued_frames,
    }


def _proof(identity: Identity, credential: Credential) -> str:
    if credential.session:
        return "session"
    if credential.token_id or credential.expires_at:
        return "token"
    return "guest" if identity.is_guest else "other"


def _reason(end_code: int | None) -> str:
    """Return why a connection has ended: not the text, which may be of a moderator."""
    if end_code is None:
        return "left"
    return CloseCode(end_code).name.lower() if end_code in CLOSE_CODES else "site"
