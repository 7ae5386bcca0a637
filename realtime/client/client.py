"""One user's connection to a server, and the rooms and topics of it."""

import asyncio
import ssl as tls
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from ..logs import get_logger
from ..wire.events import (
    Ask,
    Authenticated,
    EntryEvent,
    Failure,
    Joined,
    Left,
    PresenceList,
    Removed,
    Resync,
    Welcome,
)
from ..wire.failures import RealtimeError
from ..wire.position import Position
from .answers import Answers, Handler
from .connection import Connection, Options, State, Token
from .frames import Encoding, EncodingName, Incoming
from .handle import Handle
from .identity import OTHER_USER, Identity
from .line import Command, End
from .room import Room
from .session import REQUEST_SECONDS, CatchUp, Session
from .stream import Loose
from .topic import Kinds, Topic

__all__ = ["Client", "StateChange"]

E = TypeVar("E")
logger = get_logger("realtime.client")

SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
CONNECT_SECONDS = 30.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StateChange:
    """The connection has another state; `retry_in` are the seconds until the next attempt."""

    state: State
    code: int | None = None
    reason: str = ""
    retry_in: float | None = None


class Client:
    """A user's connection, which comes back after each loss until the `async with` block ends.

    `url` is the address of the socket, such as `wss://example.com/ws/`. `token` is sent with each
    handshake; it may be a function, also an async one, which is called for each attempt and when
    the token is about to expire. `user` is the only user_id that this client may be; without it,
    the first connection decides. `name` is that of a new guest. `queue` is how many messages may
    wait for their ack. With `catch_up="newest"`, what was missed beyond 500 changes is skipped
    (`Reset`), not read. `timeout` is how many seconds the first connection may take.
    `positions` are those of an earlier client: its loops go on there. `headers`, `origin` and `ssl`
    are for the handshake.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        user: str | None = None,
        name: str | None = None,
        encoding: EncodingName = "ndjson",
        queue: int = 500,
        catch_up: CatchUp = "all",
        timeout: float = CONNECT_SECONDS,
        positions: Mapping[str, Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        origin: str | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self._options = Options(_address(url), Encoding(encoding), token, headers, origin, ssl)
        self._session = Session(self._options.encoding, queue, catch_up)
        self._connection = Connection(self._options, self)
        self._identity = Identity(user, name, self._connection, self._session, self._forget)
        self._timeout = timeout
        self._positions = dict(positions or {})
        self._rooms: dict[str, Room] = {}
        self._topics: dict[str, Topic] = {}
        self._loose: WeakSet[Loose[Any]] = WeakSet()
        self._answers = Answers(self._connection)
        self._running: asyncio.Task[None] | None = None
        self._has_opened = asyncio.Event()
        self._last_end: End | None = None

    # For applications

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._connection.state

    @property
    def user_id(self) -> str:
        """Who the server says that this client is."""
        return self._session.user_id

    @property
    def username(self) -> str:
        """The name of the user."""
        return self._session.username

    @property
    def limits(self) -> Mapping[str, int]:
        """The limits that the server has told."""
        return self._session.limits

    @property
    def waiting(self) -> int:
        """How many messages have no ack yet."""
        return len(self._session.outbox)

    @property
    def positions(self) -> dict[str, Mapping[str, Any]]:
        """The positions that the loops over rooms and topics have handled, as JSON.

        Keep it, and give it to the next client: its loops get all that these have not handled.
        """
        logs = {f"room {room.slug}": room.handled for room in list(self._rooms.values())}
        logs |= {f"topic {topic.name}": topic.handled for topic in list(self._topics.values())}
        found = {key: {"seq": at.seq, "epoch": at.epoch} for key, at in logs.items() if at}
        return self._positions | found

    def room(self, slug: str) -> Room:
        """Return the room of a slug; it is always the same object."""
        if slug not in self._rooms:
            self._rooms[slug] = self._restored(Room(slug, self._session), f"room {slug}")
        return self._rooms[slug]

    def topic(self, name: str, *, events: Kinds = (), value: Any = None) -> Topic:
        """Return the topic of a name, such as `order/7`; it is always the same object.

        `events` are the structs of its events, and `value` that of its values.
        """
        if name not in self._topics:
            self._topics[name] = self._restored(Topic(name, self._session), f"topic {name}")
        self._topics[name].decode_as(events, value)
        return self._topics[name]

    def events(self, *kinds: type[E]) -> Loose[E]:
        """Return an iterator over the events of some classes that concern no room or topic.

        These are `StateChange`, notices, signals, invitations, and `Unknown` events.
        """
        loose: Loose[E] = Loose(kinds)
        if self._session.end is not None:
            loose.end(self._session.end)
        self._loose.add(loose)
        return loose

    def answer(self, question: Any, handler: Handler) -> Callable[[], None]:
        """Answer questions of the site, given by their struct or name, from now on.

        `handler(question)` returns a struct, a dict or None, or raises `RealtimeError` to refuse.
        It may be async; a plain function runs in a thread. It is cancelled when the time of the
        question is over. Returns a function that removes the handler.
        """
        return self._answers.add(question, handler)

    async def request(self, command: Command, *, timeout: float = REQUEST_SECONDS) -> Any:
        """Send any command of the protocol, such as `{"type": "direct", "username": "ada"}`.

        Returns the reply, a struct of `realtime.wire.events`. The command is never repeated.
        Raises `RealtimeError`: what the server refuses, `offline` or `timeout`.
        """
        return await self._session.request(command, timeout)

    def reconnect_now(self) -> None:
        """Try at once, if the client waits for its next attempt."""
        self._connection.connect_now()

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("a client is used once: make another one")
        self._running = asyncio.create_task(self._run())
        opened = asyncio.create_task(self._has_opened.wait())
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.wait({opened, self._running}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self.close()
            raise RealtimeError("timeout", self._why(), outcome="not_sent") from None
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            opened.cancel()
        if self._session.end is not None:
            await self.close()
            raise self._session.end
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection. Loops end with it, and messages without an ack fail."""
        tasks = [task for task in (self._running, self._identity.renewing) if task is not None]
        for task in tasks:
            task.cancel()
        self._finish(RealtimeError("closed", outcome="unknown"))
        if tasks:
            await asyncio.wait(tasks)

    # For the connection

    def receive(self, event: Incoming) -> None:
        """Take an event that is no reply."""
        match event:
            case Welcome():
                self._identity.welcome(event)
            case Authenticated():
                self._identity.renewed(event)
            case EntryEvent():
                self._deliver_to_topic(event.topic, event)
            case Joined() | Left() | PresenceList() if event.topic is not None:
                self._deliver_to_topic(event.topic, event)
            case Resync() | Removed():
                self._move(event)
            case Failure() if event.code == "token_expired":
                self._identity.renew()
            case Ask():
                self._answers.ask(event)
            case Failure() if self._answers.refused(event):
                pass
            case _:
                self._deliver(event)

    def dropped(self) -> None:
        """Know that the line has ended."""
        self._session.line = None
        self._answers.stop()
        for handle in self._handles():
            handle.lost()

    def tick(self) -> None:
        """Send again what has no ack for long."""
        self._session.outbox.repeat()

    def changed(self, state: State, end: End | None, retry_in: float | None) -> None:
        """Know of another state of the connection."""
        self._last_end = end
        if state is State.OPEN:
            self._session.line = self._connection.line
            self._has_opened.set()
            for handle in self._handles():
                handle.enter()
        code, reason = (end.code, end.reason) if end else (None, "")
        if retry_in is not None:
            logger.info("no connection (%s %s): next attempt in %.1f s", code, reason, retry_in)
        self._tell(StateChange(state, code, reason, retry_in))

    async def _run(self) -> None:
        try:
            end = await self._connection.run()
        except Exception as error:
            self._finish(RealtimeError("internal", f"The client has failed: {error!r}"))
            raise
        code = "identity_changed" if end is OTHER_USER else "closed"
        self._finish(RealtimeError(code, f"The server has ended the connection: {end.reason}"))

    def _finish(self, error: RealtimeError) -> None:
        """End all that waits, for good."""
        if self._session.end is not None:
            return
        self._session.end = error
        self._session.line = None
        self._session.outbox.fail(error)
        for handle in self._handles():
            handle.fail(error)
        for loose in self._loose:
            loose.end(error)

    def _why(self) -> str:
        reason = self._last_end.reason if self._last_end else ""
        host = urlsplit(self._options.url).netloc.rpartition("@")[2]  # without a password
        return f"There was no connection to {host} in time. {reason}"

    def _handles(self) -> Iterator[Handle[Any]]:
        yield from list(self._rooms.values())
        yield from list(self._topics.values())

    def _restored(self, handle: Any, key: str) -> Any:
        if position := self._positions.get(key):
            handle.go_on_from(Position(int(position["seq"]), str(position["epoch"])))
        return handle

    # Events

    def _move(self, event: Resync | Removed) -> None:
        for handle in self._handles_of(event):
            if not handle.is_wanted:
                continue
            if isinstance(event, Resync):
                handle.resync()
            elif event.code == "unavailable":
                handle.interrupted(event.retry_after)
            else:
                self._remove(handle, event)

    def _remove(self, handle: Handle[Any], event: Removed) -> None:
        error = RealtimeError(event.code, event.message, retry_after=event.retry_after)
        handle.removed(error)
        if isinstance(handle, Room):
            self._session.outbox.fail(error, handle.slug)

    def _handles_of(self, event: Resync | Removed) -> list[Handle[Any]]:
        if event.room is not None:
            return [self._rooms[event.room]] if event.room in self._rooms else []
        return list(self._session.topics.get(event.topic or "", ()))

    def _deliver_to_topic(
        self, name: str, event: EntryEvent | Joined | Left | PresenceList
    ) -> None:
        for topic in self._session.topics.get(name, ()):
            topic.receive(event)

    def _deliver(self, event: Incoming) -> None:
        slug = getattr(event, "room", None)
        room = self._rooms.get(slug) if slug is not None else None
        if room is not None and room.is_wanted:
            room.receive(event)
        else:
            self._tell(event)

    def _tell(self, event: object) -> None:
        for loose in list(self._loose):
            loose.put(event)

    def _forget(self) -> None:
        self._session.outbox.fail(RealtimeError("identity_changed", outcome="unknown"))
        for handle in self._handles():
            handle.forget()


def _address(url: str) -> str:
    """Return the address of a socket; raise `ValueError` if it cannot be one."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError(f"{url!r} is no address of a socket: write wss://example.com/ws/")
    return parts._replace(scheme=SCHEMES[parts.scheme]).geturl()
