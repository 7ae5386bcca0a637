"""One connection: its identity, its outbox, its phase, and what must be undone when it closes.

The engine knows a consumer by `ConnectionEvents` alone.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ...counts import counts
from ...logs import get_logger
from ...store.accounts.identity import Credential, Identity
from ...wire.codecs import Codec
from ...wire.errors import CLOSE_CODES, CloseCode, CommandError, Disconnect
from ...wire.events import Failure, Outgoing, Ref
from ..bus.notes import RoomMove, Transfer
from ..servers.transport import shut_down
from .intake import Intake
from .language import language_of, translated
from .ledger import Ledger
from .outbox import CLOSE_SECONDS, Outbox, Send
from .phase import MOVES, Phase, PhaseError
from .request import Request
from .traffic import Totals

if TYPE_CHECKING:
    from ..tracing.life import Life

__all__ = ["Connection", "ConnectionEvents", "speaks_protocol"]

logger = get_logger("realtime.connection")
phases = logging.getLogger("realtime.connection.phase")
"""Not limited to one line a second: the lines of a connection are read together."""

ABUSE = {
    CloseCode.AT_CAPACITY,
    CloseCode.RATE_LIMITED,
    CloseCode.CROWDED,
    CloseCode.TOO_MANY_ERRORS,
}
"""The codes that are logged as warnings, so that a site sees them by default."""
DISMISSALS = {CloseCode.UNAUTHENTICATED, CloseCode.KICKED, CloseCode.EXPIRED}
"""The codes with which the site ends a connection, besides those of its own."""
UNKNOWN = ""
"""The language of a client before it is needed."""
OVERDUE, DROPPED = "overdue", "dropped"
"""Why a connection cancelled its own task."""


class ConnectionEvents(Protocol):
    """The events that the engine reports to the consumer of a connection."""

    @property
    def is_moving(self) -> bool:
        """Whether a move of `on_room_move` is not made yet."""

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Recheck the rights in a room, or in every room; with `user_id`, only that user's."""

    def on_topic_rights_changed(self, name: str) -> None:
        """Recheck the right to be subscribed to a topic."""

    def on_user_changed(self, identity: Identity) -> None:
        """Use the changed user, who may stay connected."""

    def on_room_move(self, move: RoomMove | Transfer) -> None:
        """Join or leave a room, or leave one for another one."""


class Silence(Protocol):
    """The time for which a client has sent nothing: see `consumers.heartbeat`."""

    @property
    def heard_at(self) -> float:
        """When the client last sent something, by the clock of the event loop."""

    @property
    def seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection if it does not answer in time."""


class Subscribable(Protocol):
    """A topic, as a connection sees it."""

    def attach(self, connection: "Connection") -> bool:
        """Deliver to a connection from now on; return whether it was no member before."""

    def detach(self, connection: "Connection") -> bool:
        """Deliver nothing more to a connection; return whether it was a member."""

    @property
    def is_for_clients(self) -> bool:
        """Whether clients subscribe to it; the others are for users, nodes and everyone."""

    @property
    def label(self) -> str:
        """The name of the room or topic for administrators; empty if it is not for clients."""

    def lane_of(self, connection: "Connection") -> Totals | None:
        """Return what sends to a member; None for one that gets no events."""

    def lag_of(self, connection: "Connection") -> int:
        """Return how many positions of the log a member has not been sent."""


Release = Callable[["Connection"], object]
"""Releases something that a connection has acquired."""


class Connection(Request):
    """One socket: the object that hub, revalidator, watchdog and limits hold.

    `outbox` is its sending half, `intake` its receiving half. Limits count by `address`;
    moderators see the exact `peer_address`. `task` runs the consumer in the ASGI `scope`.
    """

    __slots__ = (
        "__weakref__",  # for log records
        "_acquired",
        "_interruption",
        "_language",
        "_paused",
        "_scope",
        "_task",
        "address",
        "client_code",
        "connected_at",
        "credential",
        "end_code",
        "events",
        "heartbeat",
        "id",
        "identity",
        "intake",
        "is_gone",
        "outbox",
        "peer_address",
        "phase",
        "subprotocol",
        "trace",
    )

    identity: Identity
    credential: Credential
    """The session, password or token that proves the identity."""

    def __init__(
        self,
        connection_id: str,
        events: ConnectionEvents,
        send: Send,
        codec: Codec,
        *,
        intake: Intake | None = None,
        server: Any = None,
        ledger: Ledger | None = None,
        address: str = "",
        peer_address: str = "",
        task: "asyncio.Task[Any] | None" = None,
        scope: dict[str, Any] | None = None,
        subprotocol: str | None = None,
    ) -> None:
        self.id = connection_id
        self.events = events
        self.intake = intake
        self.heartbeat: Silence | None = None
        self.address = address
        self.peer_address = peer_address
        self.phase = Phase.CONNECTING
        self.connected_at = time.time()
        self.is_gone = False
        """Whether the client has closed the socket."""
        self.end_code: int | None = None
        """The code with which the server ends the connection."""
        self.client_code = 0
        """The code with which the client has closed the socket; 0 without one."""
        self.trace: Life | None = None
        """Writes to the traces of this connection; None if it is not traced."""
        self.outbox = Outbox(connection_id, send, codec, self.close, server, ledger)
        self._acquired: list[Release | Subscribable] = []
        self._paused: asyncio.Future[None] | None = None
        self._task = task
        self._interruption = ""
        self._scope = scope or {}
        self.subprotocol = subprotocol
        """The subprotocol that the handshake has agreed to, if any."""
        self._language: str | None = None

    @property
    def codec(self) -> Codec:
        """The encoding that the client has chosen."""
        return self.outbox.codec

    def reply(self, outgoing: Outgoing) -> None:
        """Send a reply or event to this client alone."""
        self.outbox.reply(outgoing)

    def refuse(
        self,
        error: CommandError,
        *,
        ref: Ref = None,
        room: str | None = None,
        topic: str | None = None,
    ) -> None:
        """Reply with an error, in the client's language; the rest is that of the command."""
        counts.errors[error.code] += 1
        failure = Failure.of(error, self.translate)
        failure.ref = error.ref if ref is None else ref
        failure.room = error.room or room
        failure.topic = error.topic or topic
        self.outbox.reply(failure)

    def translate(self, sentence: object) -> str:
        """Return a sentence in the language of the client."""
        if type(sentence) is str and sentence.isascii():
            return sentence
        if self._language == UNKNOWN:  # most clients never get an error
            self._language = language_of(self._scope)
        return translated(sentence, self._language)

    def use_own_language(self) -> None:
        """Use the language of the client from now on, once its handshake is admitted.

        Until then it is that of the site: a refused handshake must cost as little as possible.
        """
        self._language = UNKNOWN

    @property
    def topics(self) -> "list[Subscribable]":
        """The topics that the connection is subscribed to, also those of the engine."""
        return [one for one in self._acquired if not callable(one)]

    # Input.

    @property
    def is_paused(self) -> bool:
        """Whether reading is paused until the allowance of bytes has refilled."""
        return self._paused is not None

    async def pause(self, seconds: float) -> None:
        """Pause reading for so many seconds, or until the connection closes."""
        self.stop_reading()
        self._paused = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._paused], timeout=seconds)
        finally:
            self._paused = None

    def stop_reading(self) -> None:
        """Stop reading until the handler lets the intake continue."""
        if self.intake is not None:
            self.intake.stop()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""
        return 0.0 if self.heartbeat is None else self.heartbeat.seconds

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection if it does not answer in time."""
        return self.heartbeat is not None and self.heartbeat.probe(seconds)

    # Phases.

    def move(self, to: Phase) -> None:
        """Enter a phase; raise `PhaseError` if it cannot follow the current one."""
        if to not in MOVES[self.phase]:
            raise PhaseError(self.id, self.phase, to)
        phases.debug("connection %s: %s after %s", self.id, to.name, self.phase.name)
        self.phase = to

    def acquire(self, release: Release | Subscribable) -> None:
        """Register a function that releases something when the connection closes.

        If the connection is closed, it is called now. Its argument is the connection, so that a
        registry needs no closure for each connection. A topic stands for its `detach`, because a
        bound method for each member would take more memory.
        """
        if self.phase is Phase.CLOSED:
            self._undo(release)
        else:
            self._acquired.append(release)

    def release(self) -> None:
        """Enter the phase CLOSED, and release everything that was acquired, the last first.

        A release that fails is logged, and the others still run.
        """
        self.move(Phase.CLOSED)
        if self.intake is not None:
            # A server may report its own close as the end, and continue to read for seconds.
            self.intake.close(is_gone=self.is_gone and not self.outbox.is_closing)
        self.outbox.close()
        if self.trace is not None:
            self.trace.end(self.end_code, self.client_code)
        while self._acquired:
            acquired = self._acquired.pop()
            try:
                self._undo(acquired)
            except Exception:
                logger.exception("connection %s: %r failed", self.id, acquired)

    def _undo(self, acquired: Release | Subscribable) -> None:
        if callable(acquired):
            acquired(self)
        else:
            acquired.detach(self)

    # Topics.

    def subscribe(self, topic: Subscribable) -> None:
        """Receive what is delivered to a topic from now on, until the connection closes."""
        if topic.attach(self):
            self.acquire(topic)

    def unsubscribe(self, topic: Subscribable) -> None:
        """Receive nothing more of a topic, if the connection is subscribed to it."""
        if topic.detach(self):
            self._acquired.remove(topic)

    # Closing.

    def close(self, why: Disconnect, *, after: "asyncio.Task[None] | None" = None) -> None:
        """Send the reason, close the socket, and abort it if the client does not answer.

        It may be called at any time, in any task. With `after`, it waits for the end of that task.
        """
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)
            self.end_code = why.code
            closing = asyncio.get_running_loop().create_task(self._close(why, after))
            self.acquire(lambda _: closing.cancel())
            if self._paused is not None and not self._paused.done():
                self._paused.set_result(None)

    async def finish(self, why: Disconnect) -> None:
        """Send the reason and close the socket, in the task of the connection."""
        level = logging.WARNING if why.code in ABUSE else logging.INFO
        logger.log(level, "connection %s closes: %s", self.id, why, extra={"kind": why.code})
        await self.finish_quietly(why)

    async def finish_quietly(self, why: Disconnect) -> None:
        """Close the socket as `finish` does, without a log line."""
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)
            self.end_code = why.code
        await self.outbox.close_with(why, self.translate)

    def lose(self, code: int = 0) -> None:
        """Note that the client has closed the socket, with this code."""
        self.is_gone, self.client_code = True, code
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)

    @property
    def was_dismissed(self) -> bool:
        """Whether the site has ended the connection, as its user may not be here any more."""
        code = self.end_code
        return code is not None and (code in DISMISSALS or code not in CLOSE_CODES)

    async def _close(self, why: Disconnect, after: "asyncio.Task[None] | None") -> None:
        if after is not None:
            await asyncio.wait([after])
        await self.finish(why)
        # The close frame of a peer that reads nothing never comes back.
        await asyncio.sleep(CLOSE_SECONDS if why.code != CloseCode.SLOW else 0)
        if not self.is_gone and not self.outbox.abort():
            self._drop()

    def _drop(self) -> None:
        """Close a socket whose transport cannot be reached, by ending the task."""
        asyncio.get_running_loop().run_in_executor(None, shut_down, self._scope)
        self._interrupt(DROPPED)

    # The task.

    @property
    def is_current_task(self) -> bool:
        """Whether the code that runs now is a command of this connection."""
        return self._task is not None and self._task is asyncio.current_task()

    def give_up(self) -> None:
        """Cancel a command that takes too long."""
        logger.warning("connection %s: a command takes too long, and is cancelled", self.id)
        self._interrupt(OVERDUE)

    def _interrupt(self, why: str) -> None:
        if self._task is not None:
            self._interruption = why
            self._task.cancel()

    def was_given_up(self) -> bool:
        """Return whether only `give_up` has cancelled the task; then the task may continue."""
        return self._was_interrupted(OVERDUE)

    def was_dropped(self) -> bool:
        """Return whether the task was cancelled only to close a socket that cannot be reached."""
        return self._was_interrupted(DROPPED)

    def _was_interrupted(self, why: str) -> bool:
        if self._interruption != why or self._task is None or self._task.uncancel():
            return False
        self._interruption = ""
        return True


def speaks_protocol(connection: Connection) -> bool:
    """Return whether the client knows the protocol.

    The page of a consumer of the site may not; nothing pings such a client.
    """
    return connection.codec.is_protocol and connection.heartbeat is not None
