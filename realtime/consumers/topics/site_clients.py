"""Subscribe the clients of any Channels consumer to topics.

The consumer keeps its socket, its handshake and its own messages. The events of topics go past it
and past the channel layer, as JSON text. They end with the socket.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from channels.consumer import AsyncConsumer
from django.utils.translation import gettext_lazy as _

from ...auth.origin import admit
from ...engine.engine import Engine
from ...engine.servers.transport import server_send
from ...topics.registry import registry
from ...topics.resuming import TopicPosition
from ...topics.topic import Topic
from ...wire.commands import TopicSince
from ...wire.errors import CommandError, ErrorCode
from .site_connections import SiteConnection, check_running
from .site_consumers import Watch, check_accepted, check_kind

__all__ = ["subscribe", "unsubscribe"]

ATTRIBUTE = "_realtime_client"
"""The attribute of a consumer that holds its `SiteClient`, from its first subscription."""
FOREIGN_PAGE = _("A page of another site may not subscribe.")


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
    check_kind(consumer, "subscribe")
    place = None if since is None else since.since()
    client: SiteClient | None = vars(consumer).get(ATTRIBUTE)
    if client is None or client.is_refused:
        server = server_send(consumer.scope, consumer.base_send)
        check_accepted(server)
        client = SiteClient(consumer, server)
        setattr(consumer, ATTRIBUTE, client)
    return _subscribe(consumer, client, _name_of(topic), place, history)


def unsubscribe(consumer: AsyncConsumer, topic: str | Topic) -> Awaitable[None]:
    """End the subscription of a consumer's client to a topic, if there is one.

    A `subscribe` of this topic that was called before is finished first.
    """
    check_kind(consumer, "unsubscribe")
    return _unsubscribe(consumer, _name_of(topic))


async def _subscribe(
    consumer: AsyncConsumer,
    client: "SiteClient",
    name: str,
    since: TopicSince | None,
    history: int,
) -> TopicPosition:
    try:
        async with client.turn(name):
            connection = await client.connection()
            return await connection.subscribe(name, since, history)
    finally:
        if client.is_refused and vars(consumer).get(ATTRIBUTE) is client:
            delattr(consumer, ATTRIBUTE)  # the next call tries again


async def _unsubscribe(consumer: AsyncConsumer, name: str) -> None:
    client: SiteClient | None = vars(consumer).get(ATTRIBUTE)
    if client is None:
        return
    async with client.turn(name):
        with suppress(CommandError):  # the client was not admitted, or there is no such topic
            (await client.connection()).unsubscribe(name)


class SiteClient:
    """The client of one consumer of the site, and the order of what the consumer does for it."""

    def __init__(self, consumer: AsyncConsumer, server: Any) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._connection: SiteConnection | None = None
        self._is_ended = False
        opening = self._open(consumer.scope, consumer.base_send, server)
        self._watch = Watch(consumer, self.end)
        self._opening = asyncio.get_running_loop().create_task(opening)
        self._opening.add_done_callback(_retrieve)

    def turn(self, name: str) -> asyncio.Lock:
        """Return the lock that is held for each call about one topic, in the order of the calls."""
        with suppress(CommandError):
            name = registry.resolve(name).name
        return self._turns.setdefault(name, asyncio.Lock())

    async def connection(self) -> SiteConnection:
        """Wait until the client is admitted; raise `CommandError` if it is not."""
        return await asyncio.shield(self._opening)

    @property
    def is_refused(self) -> bool:
        """Whether the client was not admitted, though its socket is open."""
        return self._opening.done() and self._connection is None and not self._is_ended

    def end(self) -> None:
        """Deliver nothing more, because the socket has ended."""
        self._is_ended = True
        if self._connection is not None:
            self._connection.end()

    async def _open(self, scope: dict[str, Any], send: Any, server: Any) -> SiteConnection:
        try:
            if not admit(scope):
                raise CommandError(ErrorCode.PERMISSION_DENIED, FOREIGN_PAGE)
            engine = await Engine.current()
            check_running(engine)
            connection = SiteConnection(engine, scope, send, server)
            await connection.open(lambda: self._is_ended)
        except BaseException:
            self._watch.stop()
            raise
        self._connection = connection
        return connection


def _retrieve(opening: "asyncio.Task[SiteConnection]") -> None:
    """Keep the error of an admission that nobody waits for any more from being logged."""
    if not opening.cancelled():
        opening.exception()


def _name_of(topic: str | Topic) -> str:
    return topic if isinstance(topic, str) else topic.name
