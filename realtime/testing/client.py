"""A client of the site's sockets, in the process of the test."""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import msgspec

from ..engine.engine import Engine
from ..topics import Topic
from ..wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ..wire.tags import name_of
from .answering import Answering, Handler
from .encoding import ENCODINGS, Item, decode, encode, plain
from .following import Following, Place
from .handshakes import Handshake, application_of_site
from .running import Quiet, sharing
from .socket import LOST, Frame, Socket
from .waiting import News

__all__ = ["Client", "Refused", "connect"]

SECONDS = 10.0
"""The longest wait, unless `timeout` says otherwise."""
FIELDS_OF_ERROR = ("room", "topic", "path", "outcome", "ref", "retry_after")
NO_CREDENTIALS = "The server waits for credentials: give a user, cookies, or a token."
T = TypeVar("T")


class Refused(CommandError):  # noqa: N818 - not a fault of the test
    """The server has answered a command with an error; `reply` is all of it."""

    def __init__(self, reply: Item) -> None:
        code: Any = reply["code"]
        with suppress(ValueError):  # a site may have codes of its own
            code = ErrorCode(code)
        super().__init__(
            code,
            reply["message"],
            **{name: reply.get(name) for name in FIELDS_OF_ERROR},
        )
        self.reply = reply


@asynccontextmanager
async def connect(
    user: Any = None,
    path: str = "/ws/",
    *,
    encoding: str = "json",
    token: str | None = None,
    cookies: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    application: Any = None,
    timeout: float = SECONDS,
    **scope: Any,
) -> AsyncIterator["Client"]:
    """Connect a client for a block: as a user, by credentials, or as a guest.

    `application` is that of the site, unless another one is given. `encoding` is json, ndjson or
    msgpack. `cookies` may be those of Django's test client. `scope` adds to the handshake. Nothing
    waits longer than `timeout` seconds. Raises `Disconnect` if the server refuses the client, and
    `ConnectionRefusedError` if it refuses the handshake.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, not {encoding!r}")
    handshake = Handshake(
        path, encoding, user=user, token=token, cookies=cookies, headers=headers, scope=scope
    )
    async with sharing() as engine:
        client = Client(engine, application or application_of_site(), handshake, encoding, timeout)
        try:
            await client.open()
            yield client
        except BaseException:
            with suppress(Exception):  # the error of the test is the one to see
                await client.close()
            raise
        await client.close()


class Client:
    """One client; make it by `connect`.

    `welcome` is the first object that it got. `arrived` keeps all objects that have come. Waiting
    methods raise `NotArrived` if nothing comes in time, and `Disconnect` if the server closes.
    A consumer that does not speak the protocol is served by `send_frame` and `next`.
    """

    def __init__(
        self,
        engine: Engine,
        application: Any,
        handshake: Handshake,
        encoding: str,
        timeout: float,
    ) -> None:
        self.welcome: Item = {}
        self.arrived: list[Any] = []
        self.answers_pings = True
        """Whether it answers a `ping`; set it to False for a client that is silent."""
        self._engine = engine
        self._application = application
        self._handshake = handshake
        self._encoding = encoding
        self._timeout = timeout
        self._unread: list[Any] = []
        self._news = News()
        self._socket: Socket | None = None
        self._end: Disconnect | None = None
        self._following = Following()
        self._answering = Answering()
        self._refs = itertools.count(1)

    @property
    def user_id(self) -> str:
        """The `user_id` of the client in the protocol."""
        return str(self.welcome["user_id"])

    @property
    def connection(self) -> str:
        """The id of the connection, as for `push.connection`."""
        return str(self.welcome["connection"])

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._socket is not None and not self._socket.is_ended

    async def open(self) -> None:
        """Connect, and wait for the welcome of a consumer that speaks the protocol."""
        self._end = None
        scope = self._handshake.scope()
        socket = self._socket = Socket(self._application, scope, self._take, self._news.tell)
        await self._until(lambda: socket.is_accepted or None, "the answer to the handshake")
        if socket.subprotocol == self._handshake.subprotocol:
            await Quiet.of(self._engine).wait()
            if not self.welcome and self.is_open and not self._unread:
                raise Disconnect(CloseCode.UNAUTHENTICATED, NO_CREDENTIALS)
            self.welcome = await self.next("welcome")
            self._handshake.token = self.welcome.get("guest_token", self._handshake.token)

    async def close(self, code: int = 1000) -> None:
        """Close the connection; return once the application has ended."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            await socket.end(code)
            if not socket.is_reported:
                socket.raise_failure()

    # Commands.

    async def command(self, kind: str, /, **fields: Any) -> Item:
        """Send a command, and return the reply; raise `Refused` for an error."""
        found = await self.ask(kind, **fields)
        if found["type"] == "error":
            raise Refused(found)
        return found

    async def ask(self, kind: str, /, **fields: Any) -> Item:
        """Send a command, and return the reply, also if it is an error."""
        fields = {"ref": f"{kind} {next(self._refs)}", **fields}
        ref = fields["ref"]
        self.send(kind, **fields)
        found: Item = await self._until(
            lambda: self._pop(lambda item: item.get("ref") == ref), f"the reply to {kind!r}"
        )
        return found

    def send(self, kind: str, /, **fields: Any) -> None:
        """Send a command, and wait for nothing."""
        self.send_frame(encode(self._encoding, {"type": kind, **fields}))

    def send_frame(self, frame: Frame) -> None:
        """Send any text or bytes."""
        if self._socket is None:
            raise RuntimeError("The client is not connected. Call `resume` first.")
        self._socket.send(frame)

    def send_json(self, value: Any) -> None:
        """Send any value as JSON text, to a consumer that does not speak the protocol."""
        self.send_frame(msgspec.json.encode(value).decode())

    async def join(self, room: Any, **fields: Any) -> Item:
        """Join a room, given as a row or by its slug; return the `joined` reply."""
        return await self.command("join", room=_slug(room), **fields)

    async def leave(self, room: Any, **fields: Any) -> Item:
        """Leave a room."""
        return await self.command("leave", room=_slug(room), **fields)

    async def message(self, room: Any, content: str, **fields: Any) -> Item:
        """Send a message; return its `ack`, which follows the commit."""
        return await self.command("message", room=_slug(room), content=content, **fields)

    async def subscribe(self, topic: Any, **fields: Any) -> Item:
        """Subscribe to a topic, given as such or by its name; return `subscribed` with all pages.

        A large topic is read page by page, as every client does.
        """
        name = _name(topic)
        found = await self.command("subscribe", topic=name, **fields)
        signature = fields.get("signature") or (fields.get("since") or {}).get("at")
        signed = {} if signature is None else {"signature": signature}
        entries = found.get("entries") or []
        is_recovered = found["recovered"]
        while found["has_more"]:
            since = {"seq": found["through"], "epoch": found["epoch"]}
            if found.get("until") is not None:  # more values of a snapshot follow
                since["until"] = found["until"]
            found = await self.command("subscribe", topic=name, since=since, **signed)
            entries += found.get("entries") or []
            is_recovered = is_recovered and found["recovered"]
        return {**found, "entries": entries, "recovered": is_recovered}

    async def unsubscribe(self, topic: Any) -> Item:
        """Unsubscribe from a topic."""
        return await self.command("unsubscribe", topic=_name(topic))

    async def call(self, topic: Any, command: Any, data: Any = None) -> Any:
        """Call a command of a topic, given as a struct or by its name; return the result's data."""
        is_struct = isinstance(command, msgspec.Struct)
        name, given = (name_of(type(command)), command) if is_struct else (command, data or {})
        found = await self.command("call", topic=_name(topic), name=name, data=plain(given))
        return found.get("data")

    def answer(self, question: Any, handler: Handler) -> None:
        """Answer questions of a class or name, by what `handler(question)` returns.

        It returns a struct, a dict or None, or raises `CommandError`. Without a handler, a question
        comes by `next("ask")`.
        """
        self._answering.add(question, handler)

    # Events.

    async def next(self, kind: Any = None, /, **fields: Any) -> Any:
        """Return the next object, or the next one of this type with these fields.

        Others stay for later calls. `timeout` is in seconds. `kind` may be the class of an event of
        a topic: then the next event or value of this class is returned, and deletions stay for
        `next("event", key=…)`.
        """
        seconds = fields.pop("timeout", None)
        if isinstance(kind, type):
            is_wanted = _with_data({**fields, "name": name_of(kind)})
            wanted = f"a {kind.__name__}" + (f" with {fields}" if fields else "")
            found = await self._until(lambda: self._pop(is_wanted), wanted, seconds)
            return msgspec.convert(found["data"], kind)
        if kind is None:
            return await self._until(lambda: self._pop_first(), "an object", seconds)
        wanted = f"a {kind!r}" + (f" with {fields}" if fields else "")
        return await self._until(lambda: self._pop(_matching(kind, fields)), wanted, seconds)

    async def settled(self) -> list[Any]:
        """Return all that has come and was not read, once nothing more is under way.

        With it a test shows that something did not come, without sleeping.
        """
        await Quiet.of(self._engine).wait_for_all()
        if self.is_open and self.welcome:
            await self.command("ping")
        found, self._unread = self._unread, []
        return found

    async def closed(self) -> Disconnect:
        """Wait until the server closes the connection; return its code and reason."""
        with suppress(Disconnect):
            await self._until(lambda: None, "the end of the connection")
        assert self._end is not None  # noqa: S101 - only a `Disconnect` ends the wait
        return self._end

    # Losing the connection.

    async def drop_connection(self) -> None:
        """Lose the connection as by a broken network: no close frame, nothing more arrives."""
        await self.close(LOST)

    async def resume(self) -> list[Item]:
        """Connect again, and resume all rooms and topics where the client has stopped.

        Missed messages and events come by `next`, as those of an open connection do. Returns the
        replies: `recovered` is false where something is not in the log any more.
        """
        if self._socket is not None:
            raise RuntimeError("The client is connected. Call `drop_connection` first.")
        before, self.welcome = dict(self._following.positions), {}
        await self.open()
        return [await self._resume(place, since) for place, since in before.items()]

    async def _resume(self, place: Place, since: Item) -> Item:
        if place.field == "topic":
            found = await self.subscribe(place.name, since=since)
            kind, states = "event", found["entries"]
        else:
            found = await self.join(place.name, since=since)
            kind, states = "message", found["messages"]
        self._unread += [{"type": kind, place.field: place.name, **one} for one in states]
        return found

    # What comes.

    def _take(self, frame: Frame) -> None:
        for item in decode(self._encoding, frame):
            self.arrived.append(item)
            if not (isinstance(item, dict) and "type" in item and self._has_handled(item)):
                self._unread.append(item)

    def _has_handled(self, item: Item) -> bool:
        """Take note of an object; return whether the client has dealt with it, as with a `ping`."""
        self._following.update(item)
        if item["type"] == "disconnect":
            self._end = Disconnect(item["code"], item["reason"])
        if self._socket is None:
            return False
        if item["type"] == "ping" and self.answers_pings:
            self.send("pong", **{name: item[name] for name in ("t",) if name in item})
            return True
        if item["type"] == "ask" and (fields := self._answering.answer_to(item)) is not None:
            self.send("answer", **fields)
            return True
        return False

    def _pop_first(self) -> Any | None:
        return self._unread.pop(0) if self._unread else None

    def _pop(self, is_wanted: Callable[[Item], bool]) -> Item | None:
        for number, item in enumerate(self._unread):
            if isinstance(item, dict) and is_wanted(item):
                del self._unread[number]
                return item
        return None

    async def _until(
        self, find: Callable[[], T | None], wanted: str, seconds: float | None = None
    ) -> T:
        def found() -> T | None:
            result = find()
            if result is None:
                self._raise_if_ended()
            return result

        given = self._timeout if seconds is None else seconds
        return await self._news.until(found, wanted, given, self._unread)

    def _raise_if_ended(self) -> None:
        if self._socket is None:
            raise RuntimeError("The client is not connected. Call `resume` first.")
        if not self._socket.is_ended:
            return
        self._socket.raise_failure()
        if not self._socket.is_accepted:
            raise ConnectionRefusedError(
                "The handshake was refused: the path has no route, the origin is not allowed,"
                " or the consumer has closed before it accepted."
            )
        self._end = self._end or Disconnect(self._socket.code or LOST)
        raise self._end


def _slug(room: Any) -> str:
    return room if isinstance(room, str) else str(room.slug)


def _name(topic: Any) -> str:
    if isinstance(topic, Topic):
        return topic.name
    if isinstance(topic, str):
        return topic
    given = f"the class {topic.__name__}" if isinstance(topic, type) else type(topic).__name__
    raise TypeError(
        "Give a topic or its name, such as `OrderTopic(pk=7)`, `OrderTopic.of(order)` or"
        f' "order/7", not {given}.'
    )


def _with_data(fields: Item) -> Callable[[Item], bool]:
    """Match the events and values with these fields; the deletion of a value has no data."""
    is_event = _matching("event", fields)
    return lambda item: is_event(item) and not item.get("deleted")


def _matching(kind: str, fields: Item) -> Callable[[Item], bool]:
    wanted = plain(fields)

    def matches(item: Item) -> bool:
        is_kind = item.get("type") == kind
        return is_kind and all(item.get(name) == value for name, value in wanted.items())

    return matches
