"""One connection: its identity, its outbox, its phase, and what must be undone when it closes.

The engine knows a consumer by `ConnectionEvents` alone.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

from ...logs import get_logger
from ...store.accounts.identity import Credential, Identity
from ...wire.codecs import Codec
from ...wire.errors import CloseCode, Disconnect
from ...wire.events import Outgoing
from ..servers.transport import shut_down
from .intake import Intake
from .ledger import Ledger
from .outbox import CLOSE_SECONDS, Outbox, Send

__all__ = ["MOVES", "Connection", "ConnectionEvents", "Phase", "PhaseError"]

logger = get_logger("realtime.connection")
phases = logging.getLogger("realtime.connection.phase")
"""Not limited to one line a second: the lines of a connection are read together."""

ABUSE = {
    CloseCode.AT_CAPACITY,
    CloseCode.RATE_LIMITED,
    CloseCode.CROWDED,
    CloseCode.TOO_MANY_ERRORS,
}
"""The codes that are logged as warnings: a site has to see them without configuring its logs."""
OVERDUE, DROPPED = "overdue", "dropped"
"""Why a connection cancelled its own task."""


class Phase(IntEnum):
    """The phases of a connection, in their order."""

    CONNECTING = 0
    """The handshake is not finished."""
    AUTHENTICATING = 1
    """The socket is open, and the client has to authenticate by its first message."""
    OPEN = 2
    """The client has an identity, and its commands are executed."""
    CLOSING = 3
    """The client is told why the connection closes, or has closed it. No command is executed."""
    CLOSED = 4
    """Everything that was acquired has been released."""


MOVES = {
    Phase.CONNECTING: (Phase.AUTHENTICATING, Phase.OPEN, Phase.CLOSING, Phase.CLOSED),
    Phase.AUTHENTICATING: (Phase.OPEN, Phase.CLOSING, Phase.CLOSED),
    Phase.OPEN: (Phase.CLOSING, Phase.CLOSED),
    Phase.CLOSING: (Phase.CLOSED,),
    Phase.CLOSED: (),
}
"""The phases that may follow each phase."""


class PhaseError(RuntimeError):
    """A connection was moved to a phase that cannot follow its own."""

    def __init__(self, connection: str, phase: Phase, to: Phase) -> None:
        super().__init__(connection, phase, to)
        self.connection = connection
        self.phase = phase
        self.to = to

    def __str__(self) -> str:
        expected = " or ".join(one.name for one in MOVES[self.phase]) or "no other phase"
        return (
            f"connection {self.connection} is {self.phase.name}: "
            f"expected a move to {expected}, got {self.to.name}"
        )


class ConnectionEvents(Protocol):
    """What the engine tells the consumer of a connection."""

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """The rights in a room have changed, or in every room; with `user_id` only that user's."""

    def on_user_changed(self, user: Any) -> None:
        """The user has changed, and may stay connected."""


class Silence(Protocol):
    """How long a client has sent nothing: see `consumers.heartbeat`."""

    @property
    def seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection if it does not answer in time."""


Release = Callable[["Connection"], object]
"""Undoes what a connection has acquired."""


class Connection:
    """One socket, as the engine sees it: what hub, revalidator, watchdog and limits hold.

    `outbox` is its sending half, `intake` its receiving half. `address` is the one that limits
    count by, `peer_address` the exact one for moderators. `task` runs the consumer in the ASGI
    `scope`.
    """

    __slots__ = (
        "_interruption",
        "_paused",
        "_releases",
        "_scope",
        "_task",
        "address",
        "credential",
        "events",
        "heartbeat",
        "id",
        "identity",
        "intake",
        "is_gone",
        "outbox",
        "peer_address",
        "phase",
    )

    identity: Identity
    credential: Credential
    """What the identity rests on."""

    def __init__(
        self,
        name: str,
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
    ) -> None:
        self.id = name
        self.events = events
        self.intake = intake
        self.heartbeat: Silence | None = None
        self.address = address
        self.peer_address = peer_address
        self.phase = Phase.CONNECTING
        self.is_gone = False
        """Whether the client has closed the socket."""
        self.outbox = Outbox(name, send, codec, self.close, server, ledger)
        self._releases: list[Release] = []
        self._paused: asyncio.Future[None] | None = None
        self._task = task
        self._interruption = ""
        self._scope = scope or {}

    @property
    def codec(self) -> Codec:
        """The encoding that the client has chosen."""
        return self.outbox.codec

    def reply(self, outgoing: Outgoing) -> None:
        """Send something to this client alone."""
        self.outbox.reply(outgoing)

    # Its input.

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read until the client has paid for its bytes."""
        return self._paused is not None

    async def pause(self, seconds: float) -> None:
        """Read nothing for so many seconds, or until the connection closes."""
        self.stop_reading()
        self._paused = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._paused], timeout=seconds)
        finally:
            self._paused = None

    def stop_reading(self) -> None:
        """Let the client wait, until its handler asks the intake to go on."""
        if self.intake is not None:
            self.intake.stop()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""
        return 0.0 if self.heartbeat is None else self.heartbeat.seconds

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection if it does not answer in time."""
        return self.heartbeat is not None and self.heartbeat.probe(seconds)

    # Its phases.

    def move(self, to: Phase) -> None:
        """Enter a phase; raise `PhaseError` where it cannot follow the present one."""
        if to not in MOVES[self.phase]:
            raise PhaseError(self.id, self.phase, to)
        phases.debug("connection %s: %s after %s", self.id, to.name, self.phase.name)
        self.phase = to

    def acquire(self, release: Release) -> None:
        """Register what `release` has to undo when the connection closes, or now if it has.

        It is given the connection, so that a registry needs no closure for each of them.
        """
        if self.phase is Phase.CLOSED:
            release(self)
        else:
            self._releases.append(release)

    def release(self) -> None:
        """Become closed, and undo what was acquired, the last first.

        A release that fails is logged, and does not keep the others from running.
        """
        self.move(Phase.CLOSED)
        if self.intake is not None:
            # Of its own close a server may say that it is the end, and read on for seconds.
            self.intake.close(is_gone=self.is_gone and not self.outbox.is_closing)
        self.outbox.close()
        while self._releases:
            release = self._releases.pop()
            try:
                release(self)
            except Exception:
                logger.exception("connection %s: %r failed", self.id, release)

    # Its end.

    def close(self, why: Disconnect) -> None:
        """Tell the client why, close the socket, and abort it if the client does not answer.

        May be called at any time, from outside of the task of the connection.
        """
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)
            closing = asyncio.get_running_loop().create_task(self._close(why))
            self.acquire(lambda _: closing.cancel())
            if self._paused is not None and not self._paused.done():
                self._paused.set_result(None)

    async def finish(self, why: Disconnect) -> None:
        """Tell the client why and close the socket, in the task of the connection."""
        level = logging.WARNING if why.code in ABUSE else logging.INFO
        logger.log(level, "connection %s ends: %s", self.id, why, extra={"kind": why.code})
        await self.finish_quietly(why)

    async def finish_quietly(self, why: Disconnect) -> None:
        """Close the socket as `finish` does, without a log line."""
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)
        await self.outbox.close_with(why)

    def lose(self) -> None:
        """The client has closed the socket."""
        self.is_gone = True
        if self.phase < Phase.CLOSING:
            self.move(Phase.CLOSING)

    async def _close(self, why: Disconnect) -> None:
        await self.finish(why)
        # The close frame of a peer that reads nothing never comes back.
        await asyncio.sleep(CLOSE_SECONDS if why.code != CloseCode.SLOW else 0)
        if not self.is_gone and not self.outbox.abort():
            self._drop()

    def _drop(self) -> None:
        """Close a socket whose transport is out of reach, by ending the task."""
        asyncio.get_running_loop().run_in_executor(None, shut_down, self._scope)
        self._interrupt(DROPPED)

    # Its task.

    def give_up(self) -> None:
        """Cancel a command that takes too long."""
        logger.warning("connection %s: a command takes too long", self.id)
        self._interrupt(OVERDUE)

    def _interrupt(self, why: str) -> None:
        if self._task is not None:
            self._interruption = why
            self._task.cancel()

    def was_given_up(self) -> bool:
        """Whether the task was cancelled by `give_up` alone; then it may go on."""
        return self._was_interrupted(OVERDUE)

    def was_dropped(self) -> bool:
        """Whether the task was cancelled only because the socket cannot be closed otherwise."""
        return self._was_interrupted(DROPPED)

    def _was_interrupted(self, why: str) -> bool:
        if self._interruption != why or self._task is None or self._task.uncancel():
            return False
        self._interruption = ""
        return True
