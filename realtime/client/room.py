"""One room: its messages, its members, and sending to it."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..wire.events import (
    Ack,
    Changed,
    HistoryPage,
    Joined,
    Left,
    MessageEvent,
    MessageState,
    PresenceList,
    RoomState,
    SignalEvent,
    TypingEvent,
)
from ..wire.failures import RealtimeError
from ..wire.position import Position
from .handle import Handle
from .line import Command, Line
from .outbox import make_nonce
from .seen import Seen
from .session import REQUEST_SECONDS, Session
from .stream import Placed, Reset, Stream

__all__ = ["Room", "RoomEvent"]

E = TypeVar("E")
RoomEvent = (
    MessageEvent
    | Changed
    | TypingEvent
    | SignalEvent
    | Joined
    | Left
    | PresenceList
    | RoomState
    | Reset
)
"""What a loop over a room gets."""


class Room(Handle[RoomEvent]):
    """A room of a client, made by `Client.room`.

    `members` are the names of the users who are present, by user_id; above some number the server
    tells their `count` only. `about` is what the server says of the room: `title`, `rights`,
    `slow_seconds` and so on.
    """

    def __init__(self, slug: str, session: Session) -> None:
        super().__init__(session, lambda event: event)
        self.slug = slug
        self.about: Joined | RoomState | None = None
        self._is_anew = False
        """Whether the log ends before the position that was reached."""

    async def join(self, *, history: int = 0, since: Position | None = None) -> "Room":
        """Be in the room, now and after each reconnect; return this object once that is so.

        `history` (0 to 100) of the newest messages come first. With `since`, a position of an
        earlier client, what was missed since then comes instead.
        Raises `RealtimeError` if the server refuses. A caller that is cancelled leaves.
        """
        await self._want(history, since)
        return self

    def leave(self) -> None:
        """Leave the room; messages without an ack fail with the code `left`."""
        self._leave()
        self._session.outbox.fail(RealtimeError("left", outcome="unknown"), self.slug)

    async def send(
        self, content: str, *, data: Mapping[str, Any] | None = None, nonce: str | None = None
    ) -> Ack:
        """Send a message, over as many connections as that takes; return its ack.

        Repeat a failed `send` with its own `nonce`: then the message is stored once.
        Raises `RealtimeError`: what the server refuses for good, or `queue_full`.
        """
        self._session.check_open()
        message: dict[str, Any] = {"content": content, "nonce": nonce or make_nonce()}
        if data is not None:
            message["data"] = dict(data)
        return await self._session.outbox.send(self, message)

    async def history(
        self,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        timeout: float = REQUEST_SECONDS,
    ) -> HistoryPage:
        """Return the messages before a `seq` (by default the newest), or after a position."""
        return await self._read(timeout, before=before, after=after, limit=limit)

    async def presence(self, *, timeout: float = REQUEST_SECONDS) -> PresenceList:
        """Return who is in the room."""
        command = {"type": "presence", "room": self.slug}
        found: PresenceList = await self._session.request(command, timeout)
        return found

    def typing(self) -> None:
        """Tell the others that the user is typing; dropped while there is no connection."""
        self._send_loose("typing")

    def signal(self, data: Mapping[str, Any]) -> None:
        """Send data that is not stored to the others; dropped while there is no connection."""
        self._send_loose("signal", data=dict(data))

    def read(self, seq: int) -> None:
        """Move the user's read mark forward; dropped while there is no connection."""
        self._send_loose("read", seq=seq)

    def events(self, *kinds: type[E]) -> Stream[E]:
        """Return another iterator, over the events of some classes that come from now on."""
        wanted: Any = kinds or object
        return self._new_stream(lambda event: event if isinstance(event, wanted) else None)

    def receive(self, event: object) -> None:
        """Take an event of the server that concerns this room."""
        match event:
            case MessageEvent() | Changed():
                self._take(event, event.seq, event.first)
                return
            case Joined() | Left() | PresenceList():
                self._members.take(event)
            case RoomState():
                self.about = event
        if self.is_live:
            self._log.put_loose(event)

    def resync(self) -> None:
        """Enter without a position, because what follows it was removed."""
        self._is_anew = True
        super().resync()

    def forget(self) -> None:
        """Drop what the last user saw."""
        super().forget()
        self.about = None

    def _send_loose(self, kind: str, **fields: Any) -> None:
        if self.is_live:
            self._session.send_loose({"type": kind, "room": self.slug, **fields})

    # The log

    def _opening(self) -> Command:
        command: Command = {"type": "join", "room": self.slug, "history": self._newest}
        if (since := self._log.since) is not None:
            command["since"] = since
        return command

    def _close(self, line: Line) -> None:
        line.send({"type": "leave", "room": self.slug})

    def _address(self) -> Command:
        return {"room": self.slug}

    def _opened(self, line: Line, reply: Joined) -> None:
        log, epoch, through = self._log, reply.epoch or "", reply.through or 0
        known, missed = log.known, log.missed(epoch, through)
        if known is not None and missed is not None and reply.recovered:
            log.resume(known, self._states(reply.messages or [], Seen(known.seq)), through)
        elif known is not None and missed is not None and self._session.catch_up == "all":
            log.fall_behind(known, epoch, through)
        else:
            states = reply.messages or []
            shown = [Placed(self._message(state), state.position) for state in states]
            log.begin_anew(shown, Position(through, epoch), missed)
        self.about = reply
        self._members.replace(reply)
        self._confirm(line)
        is_anew = self._is_anew or (known is not None and known.epoch != epoch)
        self._is_anew = False
        self._session.outbox.resume(self.slug, is_anew=is_anew)

    def _placed(self, page: HistoryPage, seen: Seen) -> Iterable[Placed]:
        return self._states(page.messages or [], seen)

    def _states(self, states: Iterable[MessageState], seen: Seen) -> Iterable[Placed]:
        """Yield the events of these states: a message that was seen has changed."""
        for state in sorted(states, key=lambda state: state.position):
            if seen.add(state.seq):
                yield Placed(self._message(state), state.position)
            else:
                yield Placed(
                    Changed(room=self.slug, seq=state.position, message=state), state.position
                )

    def _message(self, state: MessageState) -> MessageEvent:
        event = MessageEvent.of(self.slug, state, None)
        event.changed_seq = state.changed_seq
        return event
