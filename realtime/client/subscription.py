"""The subscription to a room or topic: it is entered again on each line, until it is left."""

import asyncio
from enum import StrEnum
from typing import Any

from ..wire.events import Outgoing
from ..wire.failures import RealtimeError
from .line import Command, Line
from .session import Session

__all__ = ["LogState", "Subscription"]


class LogState(StrEnum):
    """Whether what a room or topic shows is current."""

    IDLE = "idle"
    JOINING = "joining"
    LIVE = "live"
    STALE = "stale"
    REFUSED = "refused"


class Subscription:
    """The wish to be in a room or topic, and the attempts to enter it on the line of the client."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._line: Line | None = None
        self._attempt: object | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._callers, self._is_held = 0, False
        self.state = LogState.IDLE
        self.error: RealtimeError | None = None
        """Why the server has refused or removed the client."""

    @property
    def is_wanted(self) -> bool:
        """Whether the client is to be in the room, or subscribed to the topic."""
        return self.state not in (LogState.IDLE, LogState.REFUSED)

    @property
    def is_live(self) -> bool:
        """Whether new events come in now."""
        return self.state is LogState.LIVE

    @property
    def line(self) -> Line | None:
        """The line on which the server knows that the client is here."""
        return self._line if self.is_live else None

    # For the client

    def enter(self) -> None:
        """Send the command that enters, if that is still to be done and there is a line."""
        line = self._session.line
        if line is None or not self.is_wanted or self._attempt is not None or self.line is not None:
            return
        self._attempt = attempt = object()
        line.ask(
            self._opening(),
            lambda reply: self._entered(line, attempt, reply),
            lambda error: self._not_entered(line, attempt, error),
        )

    def reenter(self) -> None:
        """Enter again: the server does not know that the client is here."""
        self._detach()
        self.enter()

    def lost(self) -> None:
        """Know that the line has ended."""
        self._detach()

    def removed(self, error: RealtimeError) -> None:
        """Leave, because the server says so."""
        self._end(LogState.REFUSED, error)

    def interrupted(self, retry_after: float | None) -> None:
        """Enter again in a while, because the server could not keep the client here."""
        self._detach()
        if self.is_wanted and (line := self._session.line) is not None:
            self._attempt = attempt = object()
            line.after(retry_after, lambda: self._retry(attempt))

    def fail(self, error: RealtimeError) -> None:
        """Leave, because the client is closed."""
        self._end(LogState.IDLE, error)

    async def ready(self) -> None:
        """Wait until the client is here; raise `RealtimeError` if that will not be."""
        while not self.is_live:
            if not self.is_wanted:
                raise self.error or RealtimeError("left")
            waiting = asyncio.get_running_loop().create_future()
            self._waiting = [*(one for one in self._waiting if not one.done()), waiting]
            await waiting

    # For rooms and topics

    async def _hold(self) -> None:
        """Be here from now on; a caller that is cancelled leaves, if no other one is here."""
        if not self.is_wanted:
            self._become(LogState.JOINING)
            self.error = None
        self.enter()
        self._callers += 1
        try:
            await self.ready()
            self._is_held = True
        except asyncio.CancelledError:
            if self._callers == 1 and not self._is_held:
                self._leave()
            raise
        finally:
            self._callers -= 1

    def _leave(self) -> None:
        if self._line is not None and not self._line.is_over:
            self._close(self._line)
        self._end(LogState.IDLE, None)

    def _confirm(self, line: Line) -> None:
        self._line = line
        self._become(LogState.LIVE)

    # What differs

    @property
    def _has_data(self) -> bool:
        """Whether there is something to show, which is not current without a line."""
        raise NotImplementedError

    def _opening(self) -> Command:
        """Return the command that enters, from a position if there is one."""
        raise NotImplementedError

    def _opened(self, line: Line, reply: Any) -> None:
        """Take the reply to the command that enters."""
        raise NotImplementedError

    def _close(self, line: Line) -> None:
        """Send the command that leaves."""
        raise NotImplementedError

    def _ended(self, error: RealtimeError | None) -> None:
        """Know that the client is not here any more."""
        raise NotImplementedError

    # States

    def _entered(self, line: Line, attempt: object, reply: Outgoing) -> None:
        """Take a reply; one that comes after the client has left is answered by leaving."""
        if attempt is self._attempt:
            self._attempt = None
            self._opened(line, reply)
        elif not self.is_wanted:
            self._close(line)

    def _not_entered(self, line: Line, attempt: object, error: RealtimeError) -> None:
        if attempt is not self._attempt:
            return
        if error.code == "offline":
            self._attempt = None
        elif error.is_retryable:
            line.after(error.retry_after, lambda: self._retry(attempt))
        else:
            self._attempt = None
            self._end(LogState.REFUSED, error)

    def _retry(self, attempt: object) -> None:
        if attempt is self._attempt:
            self._attempt = None
            self.enter()

    def _detach(self) -> None:
        self._attempt = None
        if self.is_wanted:
            self._become(LogState.STALE if self._has_data else LogState.JOINING)

    def _end(self, state: LogState, error: RealtimeError | None) -> None:
        self._line = self._attempt = None
        self._is_held = False
        self.error = error
        self._become(state)
        self._ended(error)

    def _become(self, state: LogState) -> None:
        self.state = state
        if state is LogState.LIVE or not self.is_wanted:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)
