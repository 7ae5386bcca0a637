"""The connection of a consumer of the site: it admits the client, and sends it its topics."""

import asyncio
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext_lazy as _

from ...auth.address import address_of
from ...auth.identify import identify
from ...engine.bus.notes import RoomMove, Transfer
from ...engine.connections.connection import Connection
from ...engine.connections.phase import Phase
from ...engine.delivery.entry_catchup import EntryPage
from ...engine.engine import Engine
from ...store.accounts.addresses import network_of
from ...store.accounts.identity import Identity
from ...topics.permissions import Verdict
from ...topics.registry import registry
from ...topics.resuming import TopicPosition
from ...topics.subscriptions import Subscriptions
from ...topics.topic import Topic
from ...wire.codecs import JSON
from ...wire.commands import TopicSince
from ...wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ...wire.events import EntryEvent
from ...wire.packet import Packet
from ..authentication import Login

__all__ = ["SiteConnection", "check_running"]

STOPPING = _("The server is restarting.")
SIGN_IN = _("Sign in first.")
TOO_FAST = _("Too many commands at once. Wait a little.")
CLOSED = _("The connection is closed.")
REFUSALS: dict[int, ErrorCode] = {
    CloseCode.UNAUTHENTICATED: ErrorCode.NOT_AUTHENTICATED,
    CloseCode.EXPIRED: ErrorCode.NOT_AUTHENTICATED,
    CloseCode.RATE_LIMITED: ErrorCode.RATE_LIMITED,
    CloseCode.AT_CAPACITY: ErrorCode.LIMIT_EXCEEDED,
    CloseCode.CROWDED: ErrorCode.LIMIT_EXCEEDED,
}
"""The error for each reason why a socket is not admitted; for others, `permission_denied`."""


def check_running(engine: Engine) -> None:
    """Raise `CommandError` if the process accepts no new clients."""
    if engine.refuses_clients:
        raise CommandError(ErrorCode.UNAVAILABLE, STOPPING, retry_after=1)


class SiteLogin(Login):
    """The identity of a client whose page cannot send a new token."""

    __slots__ = ()

    def _warn(self) -> None:
        pass


class SiteConnection:
    """The connection of a consumer of the site, while its client is subscribed to topics."""

    def __init__(self, engine: Engine, scope: dict[str, Any], send: Any, server: Any) -> None:
        peer_address = address_of(scope)
        self._engine = engine
        self._scope = scope
        self._connection = Connection(
            engine.new_connection(),
            self,
            send,
            JSON,
            server=server,
            address=network_of(peer_address),
            peer_address=peer_address,
            scope=scope,
        )
        self._login = SiteLogin(self._connection, engine)
        self._topics = Subscriptions(engine, self._connection, tells_presence=False)
        self._sending = asyncio.Lock()
        """Held while a page is read and sent."""

    async def open(self, is_ended: Callable[[], bool]) -> None:
        """Admit the client and sign it in; raise `CommandError` to refuse it."""
        try:
            self._login.arrive()
            found = await identify(self._scope, self._engine.db)
            if found is None:
                raise CommandError(ErrorCode.NOT_AUTHENTICATED, SIGN_IN)
            await self._login.sign_in(found)
            if is_ended():
                raise _closed()
            check_running(self._engine)
            self._start()
        except Disconnect as why:
            self.end()
            code = REFUSALS.get(why.code, ErrorCode.PERMISSION_DENIED)
            raise CommandError(code, why.text, retry_after=why.retry_after) from None
        except BaseException:
            self.end()
            raise

    async def subscribe(self, name: str, since: TopicSince | None, history: int) -> TopicPosition:
        """Subscribe, and send the entries up to the position that is returned."""
        self._check_open()
        limits = self._engine.limits
        if wait := limits.charge(self._connection, "subscribe"):
            raise CommandError(ErrorCode.RATE_LIMITED, TOO_FAST, retry_after=wait)
        topic, changes = self._resolve(name), self._topics.changes
        verdict = await self._topics.ask(topic)  # those of several topics at once
        page = await self._send_page(topic, since, history, known=(changes, verdict))
        recovered = page.recovered
        while page.has_more:
            next_page = TopicSince(seq=page.through, epoch=page.epoch, until=page.until)
            page = await self._send_page(topic, next_page, history)
            recovered = recovered and page.recovered
        return TopicPosition(page.through, page.epoch, recovered)

    def unsubscribe(self, name: str) -> None:
        """End a subscription."""
        self._topics.drop(self._resolve(name).name)

    def end(self) -> None:
        """Deliver nothing more, because the socket has ended."""
        if self._connection.phase < Phase.CLOSED:
            self._connection.lose()
            self._connection.release()

    def _start(self) -> None:
        connection = self._connection
        connection.move(Phase.OPEN)
        connection.outbox.open()
        self._engine.watch(connection)
        self._login.track()

    async def _send_page(
        self,
        topic: Topic,
        since: TopicSince | None,
        history: int,
        known: tuple[int, Verdict] | None = None,
    ) -> EntryPage:
        """Subscribe with the next page, and send it once the client has taken what came before.

        It is sent in the turn of the event loop in which the client is attached, so it comes before
        all later events. The verdict that is `known` is not used if rights may have changed since.
        """
        outbox = self._connection.outbox
        async with self._sending:
            await outbox.until_free()
            self._check_open()
            changes, verdict = known or (self._topics.changes, None)
            page = await self._topics.enter(
                topic,
                since=since,
                history=history,
                known=verdict if changes == self._topics.changes else None,
            )
            self._check_open()
            if page.states:
                events = (EntryEvent.of(topic.name, state) for state in page.states)
                outbox.post(Packet([*map(JSON.encode, events)]), is_requested=True)
        return page

    def _resolve(self, name: str) -> Topic:
        return registry.resolve(name, self._connection.identity)

    def _check_open(self) -> None:
        if self._connection.phase is not Phase.OPEN:
            raise _closed()

    # Called by the engine: see `ConnectionEvents`.

    @property
    def is_moving(self) -> bool:
        """Return False: the client cannot be in a room."""
        return False

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Check the rights in all topics again; the client is in no room."""
        if not room:
            self._topics.recheck_all()

    def on_user_changed(self, identity: Identity) -> None:
        """Use the changed user, who may stay connected."""
        self._connection.identity = identity.after(self._connection.identity)
        self._topics.recheck_all()

    def on_room_move(self, move: RoomMove | Transfer) -> None:
        """Do nothing: the client cannot be in a room."""

    def on_topic_rights_changed(self, name: str) -> None:
        """Check the rights in a topic again."""
        self._topics.recheck(name)


def _closed() -> CommandError:
    return CommandError(ErrorCode.UNAVAILABLE, CLOSED)
