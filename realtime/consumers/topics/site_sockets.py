"""Subscribe the clients of any Channels consumer to topics.

The consumer keeps its socket, its handshake and its own messages. The events of topics go past it
and past the channel layer, as JSON text. They end with the socket.
"""

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

from channels.consumer import AsyncConsumer
from django.utils.translation import gettext_lazy as _

from ...auth.address import address_of
from ...auth.identify import identify
from ...auth.origin import admit
from ...engine.connections.admission import Slot
from ...engine.connections.connection import Connection
from ...engine.connections.phase import Phase
from ...engine.delivery.entry_catchup import EntryPage
from ...engine.engine import Engine
from ...engine.servers.transport import is_accepted, server_send
from ...store.accounts.addresses import network_of
from ...store.accounts.identity import Authentication, Identity
from ...store.accounts.visitor import Visitor
from ...topics.registry import registry
from ...topics.resuming import TopicPosition
from ...topics.subscriptions import Subscriptions
from ...topics.topic import Topic
from ...wire.codecs import JSON
from ...wire.commands import TopicSince
from ...wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ...wire.events import EntryEvent

__all__ = ["subscribe", "unsubscribe"]

ATTRIBUTE = "_realtime_socket"
"""The attribute of a consumer that holds what is made by its first subscription."""
FOREIGN_PAGE = _("A page of another site may not subscribe.")
STOPPING = _("The server is restarting.")
SIGN_IN = _("Sign in first.")
TOO_FAST = _("Too many commands at once. Wait a little.")
REFUSALS = {
    CloseCode.UNAUTHENTICATED: ErrorCode.NOT_AUTHENTICATED,
    CloseCode.KICKED: ErrorCode.PERMISSION_DENIED,
    CloseCode.RATE_LIMITED: ErrorCode.RATE_LIMITED,
}
"""The error for each reason why a socket is not admitted; for others, `limit_exceeded`."""


def subscribe(
    consumer: AsyncConsumer,
    topic: str | Topic,
    *,
    since: TopicPosition | None = None,
    history: int = 0,
) -> Awaitable[TopicPosition]:
    """Subscribe the client of an accepted consumer to a topic; return the position it is at.

    The client gets `event` frames as JSON text: first the living values and the newest `history`
    events, or what has changed `since` a position. If that is not known any more, it gets the
    former, and `recovered` is false. Its rights are those of the user in the scope.
    Raises `CommandError` if the client may not subscribe.
    """
    _check(consumer)
    place = None if since is None else since.since()
    if ATTRIBUTE not in vars(consumer):
        opening = asyncio.get_running_loop().create_task(_open(consumer, _task_of(consumer)))
        setattr(consumer, ATTRIBUTE, opening)
    return _subscribe(consumer, _name_of(topic), place, history)


async def unsubscribe(consumer: AsyncConsumer, topic: str | Topic) -> None:
    """End the subscription of a consumer's client to a topic, if there is one."""
    opening = vars(consumer).get(ATTRIBUTE)
    if opening is not None:
        socket = await asyncio.shield(opening)
        socket.unsubscribe(_name_of(topic))


class SiteSocket:
    """The socket of a consumer of the site, for as long as its client is subscribed to topics."""

    def __init__(self, engine: Engine, scope: dict[str, Any], send: Any) -> None:
        peer_address = address_of(scope)
        self._engine = engine
        self._scope = scope
        self._connection = Connection(
            engine.new_connection(),
            self,
            send,
            JSON,
            server=server_send(scope, send),
            address=network_of(peer_address),
            peer_address=peer_address,
            scope=scope,
        )
        self._slot = Slot(engine.admission, self._connection.address)
        self._topics = Subscriptions(engine, self._connection)

    async def open(self) -> None:
        """Admit the client and sign it in; raise `CommandError` to refuse it."""
        connection, engine = self._connection, self._engine
        connection.acquire(lambda _: self._slot.release())
        try:
            self._slot.acquire()
            connection.use_own_language()
            found = await identify(self._scope, engine.db)
            if found is None:
                raise CommandError(ErrorCode.NOT_AUTHENTICATED, SIGN_IN)
            await self._sign_in(found)
        except Disconnect as why:
            self.end()
            code = REFUSALS.get(CloseCode(why.code), ErrorCode.LIMIT_EXCEEDED)
            raise CommandError(code, why.text, retry_after=why.retry_after) from None
        except BaseException:
            self.end()
            raise

    async def subscribe(self, name: str, since: TopicSince | None, history: int) -> TopicPosition:
        """Subscribe, and send the entries up to the position that is returned."""
        limits = self._engine.limits
        if wait := limits.charge(self._connection, "subscribe"):
            raise CommandError(ErrorCode.RATE_LIMITED, TOO_FAST, retry_after=wait)
        topic = registry.resolve(name, self._connection.identity)
        page = await self._topics.enter(topic, since=since, history=history)
        recovered = page.recovered
        # In the turn in which it is attached: so these come before all later events.
        self._send(topic.name, page)
        while page.has_more:
            next_page = TopicSince(seq=page.through, epoch=page.epoch, until=page.until)
            page = await self._topics.enter(topic, since=next_page, history=history)
            recovered = recovered and page.recovered
            self._send(topic.name, page)
        return TopicPosition(page.through, page.epoch, recovered)

    def unsubscribe(self, name: str) -> None:
        """End a subscription."""
        self._topics.drop(registry.resolve(name, self._connection.identity).name)

    def end(self) -> None:
        """Deliver nothing more, because the socket has ended."""
        if self._connection.phase < Phase.CLOSED:
            self._connection.lose()
            self._connection.release()

    async def _sign_in(self, found: Authentication) -> None:
        connection, engine = self._connection, self._engine
        visitor = Visitor(found.identity, connection.address)
        clearance = await engine.revalidator.site_sanctions.check(visitor)
        self._slot.authenticate(found.identity)
        connection.identity, connection.credential = found.identity, found.credential
        connection.move(Phase.OPEN)
        connection.outbox.open()
        engine.watch(connection)
        engine.revalidator.track(connection, clearance)

    def _send(self, name: str, page: EntryPage) -> None:
        for state in page.states:
            self._connection.reply(EntryEvent.of(name, state))

    # Called by the engine: see `ConnectionEvents`.

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Check the rights in all topics again; the client is in no room."""
        if not room:
            self._topics.recheck_all()

    def on_user_changed(self, identity: Identity) -> None:
        """Use the changed user, who may stay connected."""
        self._connection.identity = identity.after(self._connection.identity)
        self._topics.recheck_all()

    def on_room_move(self, room: str, joins: bool, reason: str) -> None:
        """Do nothing: the client cannot be in a room."""

    def on_topic_rights_changed(self, name: str) -> None:
        """Check the rights in a topic again."""
        self._topics.recheck(name)


async def _subscribe(
    consumer: AsyncConsumer, name: str, since: TopicSince | None, history: int
) -> TopicPosition:
    opening: asyncio.Task[SiteSocket] = vars(consumer)[ATTRIBUTE]
    try:
        socket = await asyncio.shield(opening)
    except BaseException:
        if opening.done() and vars(consumer).get(ATTRIBUTE) is opening:
            delattr(consumer, ATTRIBUTE)  # the next call tries again
        raise
    return await socket.subscribe(name, since, history)


async def _open(consumer: AsyncConsumer, task: "asyncio.Task[Any] | None") -> SiteSocket:
    scope, send = consumer.scope, consumer.base_send
    if not admit(scope):
        raise CommandError(ErrorCode.PERMISSION_DENIED, FOREIGN_PAGE)
    engine = await Engine.current()
    if engine.is_stopping:
        raise CommandError(ErrorCode.UNAVAILABLE, STOPPING, retry_after=1)
    socket = SiteSocket(engine, scope, send)
    await socket.open()
    _end_with(consumer, socket.end)
    if task is not None:
        task.add_done_callback(lambda _: socket.end())
    return socket


def _task_of(consumer: AsyncConsumer) -> "asyncio.Task[Any] | None":
    """Return the task that runs a consumer; None if the caller is in a task of its own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is AsyncConsumer.__call__.__code__ and frame.f_locals["self"] is consumer:
            return asyncio.current_task()
        frame = frame.f_back
    return None


def _end_with(consumer: AsyncConsumer, end: Callable[[], None]) -> None:
    """Call `end` when the client has gone, or the consumer closes the socket or ends itself."""
    reference, loop = weakref.ref(consumer), asyncio.get_running_loop()
    send, handler = consumer.base_send, getattr(type(consumer), "websocket_disconnect", None)

    async def base_send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            end()
        await send(message)

    async def websocket_disconnect(message: dict[str, Any]) -> None:
        end()
        if handler is not None and (found := reference()) is not None:
            await handler(found, message)

    # By weak references only: a cycle would keep the consumer until the garbage collector runs.
    consumer.base_send = base_send
    if handler is not None:
        consumer.websocket_disconnect = websocket_disconnect
    finalizer = weakref.finalize(consumer, partial(_end_soon, loop, end))
    finalizer.atexit = False


def _end_soon(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Call `end` in its loop: the garbage collector runs in any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(end)


def _check(consumer: Any) -> None:
    """Raise an error that says what to write, before anything is awaited."""
    if not isinstance(consumer, AsyncConsumer) or consumer._sync:
        kind = type(consumer).__qualname__
        raise TypeError(
            f"subscribe() needs an async consumer, not {kind}: derive it from an async class of "
            "Channels, such as AsyncWebsocketConsumer, and write `await subscribe(self, …)`."
        )
    scope = getattr(consumer, "scope", {})
    if scope.get("type") != "websocket":
        raise TypeError("subscribe() needs the consumer of an open WebSocket.")
    if not hasattr(consumer, "base_send"):
        raise TypeError(
            "subscribe() is for consumers of Channels. The client of a consumer of this package "
            "subscribes by itself: derive the consumer from `realtime.consumers.Subscribing`."
        )
    is_first = ATTRIBUTE not in vars(consumer)
    if is_first and not is_accepted(server_send(scope, consumer.base_send)):
        raise RuntimeError("subscribe() needs an open socket: write `await self.accept()` first.")


def _name_of(topic: str | Topic) -> str:
    return topic if isinstance(topic, str) else topic.name
