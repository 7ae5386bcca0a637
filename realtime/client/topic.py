"""One topic: its events, the values of its keys, and calls of its commands."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import msgspec

from ..wire.events import EntryEvent, HistoryPage, Joined, Left, PresenceList, Result, Subscribed
from ..wire.failures import RealtimeError
from ..wire.position import Position
from ..wire.tags import name_of
from .handle import Handle
from .line import Command, Line
from .seen import Seen
from .session import REQUEST_SECONDS, Session
from .stream import Placed, Reset, Stream

__all__ = ["Kinds", "Topic", "TopicEvent"]

T = TypeVar("T")
Kinds = Iterable[type] | Mapping[str, type]
"""The structs of events: classes whose names in snake case are those of the events, or by name."""


@dataclass(frozen=True, slots=True)
class TopicEvent:
    """An event of a topic, or the new value of a key.

    `data` is an object of the struct that was given for its name, else a dictionary; a deleted key
    has None. `seq` and `at` (ISO 8601) are None if it is not stored, `key` if it is no value.
    """

    name: str
    data: Any
    seq: int | None = None
    key: str | None = None
    id: str | None = None
    at: str | None = None
    is_deleted: bool = False


class Topic(Handle[TopicEvent | Reset]):
    """A topic of a client, made by `Client.topic`. `values` has the latest value of each key."""

    def __init__(self, name: str, session: Session) -> None:
        super().__init__(session, self._event)
        self.name = self._known_as = name
        """The server may write it otherwise: `order/007` as `order/7`."""
        self._kinds: dict[str, Any] = {}
        self._value: Any = Any
        self._until: int | None = None
        self._has_values = False
        self._entries: dict[str, EntryEvent] = {}
        self.values: Mapping[str, Any] = _Values(self._entries, self._data)

    def decode_as(self, events: Kinds, value: Any) -> None:
        """Decode the data of events and values to structs."""
        named = events if isinstance(events, Mapping) else {name_of(one): one for one in events}
        self._kinds.update(named)
        if value is not None:
            self._value = value

    async def subscribe(self, *, history: int = 0, since: Position | None = None) -> "Topic":
        """Be subscribed, now and after each reconnect; return this object once that is so.

        All values come first, and `history` (0 to 100) of the newest events. With `since`, a
        position of an earlier client, what was missed since then comes instead.
        Raises `RealtimeError` if the server refuses. A caller that is cancelled unsubscribes.
        """
        await self._want(history, since)
        return self

    def unsubscribe(self) -> None:
        """End the subscription."""
        self._leave()

    async def __aenter__(self) -> "Topic":
        return await self.subscribe()

    async def __aexit__(self, *_: object) -> None:
        self.unsubscribe()

    @overload
    async def call(
        self, command: object, data: Mapping[str, Any] | None = None, *, timeout: float = ...
    ) -> dict[str, Any]: ...

    @overload
    async def call(
        self,
        command: object,
        data: Mapping[str, Any] | None = None,
        *,
        reply: type[T],
        timeout: float = ...,
    ) -> T: ...

    async def call(
        self,
        command: object,
        data: Mapping[str, Any] | None = None,
        *,
        reply: Any = dict,
        timeout: float = REQUEST_SECONDS,
    ) -> Any:
        """Execute a command of the topic, which is never repeated; return its reply.

        `command` is a struct, or the name of a command with its `data`. The reply is a dictionary,
        or an object of the class `reply`.
        Raises `RealtimeError`: `offline` or `timeout` with the `outcome` "not_sent" or "unknown",
        what the server refuses with the `path` of a wrong field, or `invalid_event` if the reply
        is not of its class.
        """
        name, fields = _command(command, data)
        asked = {"type": "call", "topic": self.name, "name": name, "data": fields}
        result: Result = await self._session.request(asked, timeout)
        return result.data if reply is dict else _converted(result.data, reply)

    async def history(
        self,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        timeout: float = REQUEST_SECONDS,
    ) -> list[TopicEvent]:
        """Return the stored events before a `seq` (by default the newest), or after a position."""
        page = await self._read(timeout, before=before, after=after, limit=limit)
        return [self._decoded(EntryEvent.of(self.name, entry)) for entry in page.entries or []]

    def events(self, kind: type[T]) -> Stream[T]:
        """Return another iterator, over the data of events of one struct that come from now on."""
        name = name_of(kind)
        self._kinds.setdefault(name, kind)
        return self._new_stream(lambda event: self._data(event) if _is(event, name) else None)

    def receive(self, event: EntryEvent | Joined | Left | PresenceList) -> None:
        """Take an event of the server that concerns this topic."""
        if not isinstance(event, EntryEvent):
            self._members.take(event)
        elif event.seq is None:
            if self.is_live:
                self._log.put_loose(event)
        elif self._take(event, event.seq, event.first, event.epoch):
            self._keep(event)

    def forget(self) -> None:
        """Drop what the last user saw."""
        super().forget()
        self._entries.clear()
        self._until, self._has_values = None, False

    # The log

    def _opening(self) -> Command:
        command: Command = {"type": "subscribe", "topic": self.name, "history": self._newest}
        if (since := self._log.since) is not None and self._has_values:
            command["since"] = since
            if self._until is not None:
                command["since"]["until"] = self._until
        return command

    def _close(self, line: Line) -> None:
        same = self._session.topics.get(self._known_as, ())
        if not any(one.is_wanted for one in same if one is not self):
            line.send({"type": "unsubscribe", "topic": self.name})

    def _be_known_as(self, name: str) -> None:
        self._session.topics.get(self._known_as, set()).discard(self)
        self._session.topics.setdefault(name, set()).add(self)
        self._known_as = name

    def _address(self) -> Command:
        return {"topic": self.name}

    def _opened(self, line: Line, reply: Subscribed) -> None:
        log, through = self._log, reply.through
        self._be_known_as(reply.topic)
        entries = [EntryEvent.of(self.name, entry) for entry in reply.entries]
        known, missed = log.known, log.missed(reply.epoch, reply.until or through)
        if known is not None and reply.recovered:
            begun = reply.epoch if not known.epoch else None
            known.epoch = reply.epoch
            log.resume(known, self._numbered(entries, begun), through)
        else:
            self._entries.clear()
            self._has_values = True
            if known is not None and missed is not None and self._session.catch_up == "all":
                log.fall_behind(known, reply.epoch, through)
            else:
                shown = list(self._numbered(entries))
                log.begin_anew(shown, Position(through, reply.epoch), missed)
        for entry in entries:
            self._keep(entry)
        self._until = reply.until if reply.has_more else None
        if reply.has_more:
            self.enter()
        else:
            self._members.replace(reply)
            self._confirm(line)

    def _placed(self, page: HistoryPage, seen: Seen) -> Iterable[Placed]:
        return self._numbered(EntryEvent.of(self.name, entry) for entry in page.entries or [])

    def _numbered(
        self, entries: Iterable[EntryEvent], epoch: str | None = None
    ) -> Iterator[Placed]:
        for entry in entries:
            yield Placed(entry, entry.seq, epoch or None)

    def _keep(self, event: EntryEvent) -> None:
        if event.key is None:
            return
        if event.deleted:
            self._entries.pop(event.key, None)
        else:
            event.data = event.data.copy()  # else it holds the whole frame
            self._entries[event.key] = event

    # Decoding

    def _event(self, event: Any) -> TopicEvent | Reset:
        return event if isinstance(event, Reset) else self._decoded(event)

    def _decoded(self, event: EntryEvent) -> TopicEvent:
        return TopicEvent(
            event.name,
            None if event.deleted else self._data(event),
            event.seq,
            event.key,
            event.nonce,
            event.at,
            event.deleted,
        )

    def _data(self, event: EntryEvent) -> Any:
        kind = self._kinds.get(event.name, Any if event.key is None else self._value)
        try:
            return self._session.encoding.data(event.data, kind)
        except msgspec.ValidationError as error:
            fault = f"The data of {event.name!r} in {self.name} is not of {kind.__name__}: {error}"
            raise RealtimeError("invalid_event", fault, path="data") from error


class _Values(Mapping[str, Any]):
    """The values of keys, decoded when they are read."""

    def __init__(self, entries: dict[str, EntryEvent], decode: Any) -> None:
        self._entries = entries
        self._decode = decode

    def __getitem__(self, key: str) -> Any:
        return self._decode(self._entries[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<values of {len(self)} keys>"


def _is(event: object, name: str) -> bool:
    return isinstance(event, EntryEvent) and event.name == name and not event.deleted


def _command(command: object, data: Mapping[str, Any] | None) -> tuple[str, Any]:
    if isinstance(command, str):
        return command, dict(data or {})
    return name_of(type(command)), msgspec.to_builtins(command)


def _converted(data: dict[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RealtimeError("invalid_event", f"The reply is not of its class: {error}") from error
