"""The base of all consumers: the methods that a site's own consumer may use and override."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from channels.consumer import AsyncConsumer
from django.db import Error as DatabaseError
from django.utils.translation import gettext_lazy as _

from ..auth.origin import admit, refuse
from ..engine.bus.publisher import publisher
from ..engine.connections.connection import Connection
from ..engine.connections.intake import Intake
from ..engine.connections.outbox import Outbox
from ..engine.engine import Engine
from ..engine.servers.transport import server_send
from ..logs import count_or_pass, get_logger
from ..store.accounts.identity import Identity
from ..wire import events
from ..wire.codecs import choose
from ..wire.commands import Auth, Command, Ping, Pong
from ..wire.costs import REPLY_BYTES
from ..wire.errors import CommandError, Disconnect, ErrorCode
from ..wire.events import Authenticated, Outgoing, timestamp
from .authentication import Login, authenticated
from .commands import CommandSet, command, with_ref
from .handshake import connect
from .lifecycle import Lifecycle

__all__ = ["Consumer"]

logger = get_logger("realtime.consumer")

REFUSED = "connection %s: a command was refused: %s"
TOO_SLOW = _("The server took too long. Try again in a moment.")
NO_DATABASE = _("The database is not available. Try again in a moment.")

T = TypeVar("T")


class Consumer(AsyncConsumer):
    """A connection with the commands `auth`, `ping` and `pong` of protocol v1.

    Mount it as any Channels consumer. Subclasses add methods marked `@command`, and may override
    `opened` and `closed`. A `CommandError` becomes an `error` reply. Any other exception is logged,
    and ends the connection.
    """

    commands: ClassVar[CommandSet]
    """The commands of clients, and the methods that handle them."""
    engine: Engine
    connection: Connection
    _login: Login

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.commands = CommandSet.of(cls)

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Any:
        """Return an ASGI application, and mark this process as one that serves sockets."""
        publisher.is_server = True
        return super().as_asgi(**initkwargs)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Run the connection to its end."""
        if not admit(scope):
            await refuse(receive, send)
            return
        self.scope = scope
        server = server_send(scope, send)
        intake = Intake(server, self.end, self._refuse_large)
        if (await receive())["type"] != "websocket.connect":
            return
        self.engine = await Engine.current()
        codec, subprotocol = choose(scope.get("subprotocols", []))
        self.connection = connect(
            self, self.engine, scope, send, server=server, intake=intake, codec=codec
        )
        self._login = Login(self.connection, self.engine)
        self._lifecycle = Lifecycle(self, self._login, intake, receive)
        await self._lifecycle.run(subprotocol, send, server)

    # For subclasses.

    @property
    def id(self) -> str:
        """The unique name of the connection."""
        return self.connection.id

    @property
    def identity(self) -> Identity:
        """The user or guest of the connection."""
        return self.connection.identity

    @property
    def address(self) -> str:
        """The address by which limits count the connection; empty if it is unknown."""
        return self.connection.address

    @property
    def outbox(self) -> Outbox:
        """The sending half of the connection."""
        return self.connection.outbox

    async def opened(self) -> None:
        """Override this to act when the connection is open and has an identity."""

    async def closed(self) -> None:
        """Override this to act when the connection is gone; it also runs after a cancellation."""

    async def handle(self, command: Command) -> None:
        """Execute a command and send its reply; raise `CommandError` to refuse it."""
        method, cost = self.commands[type(command)]
        reply = await method(self, command)
        if reply is None:
            return
        with_ref(reply, command)
        if cost.is_reply_charged:
            self.reply_paid(reply, cost.allowance)
        else:
            self.reply(reply)

    @command
    async def ping(self, command: Ping) -> events.Pong:
        """Answer with the time of the server."""
        return events.Pong(t=command.t, server_time=timestamp(datetime.now(UTC)))

    @command
    async def pong(self, command: Pong) -> None:
        """Accept the answer of the client to a `ping`."""
        self.outbox.acknowledge(command.t)

    @command
    async def auth(self, command: Auth) -> Authenticated:
        """Sign in as another user, renew a token, or give a guest another name."""
        await self._login.change(command, self.may_change_identity)
        return authenticated(self.connection)

    def reply(self, outgoing: Outgoing) -> None:
        """Send a reply or event to this client alone."""
        self.connection.outbox.reply(outgoing)

    def reply_paid(self, outgoing: Outgoing, allowance: str) -> None:
        """Send a reply that may be large, and charge its bytes to an allowance."""
        frame = self.connection.codec.encode(outgoing)
        self.outbox.send(frame)
        self.engine.limits.owe(self.connection, allowance, len(frame) / REPLY_BYTES)

    def refuse(self, command: Command, error: CommandError) -> None:
        """Reply that a command failed."""
        if count_or_pass(logger, logging.INFO, REFUSED, error.code):
            logger.info(REFUSED, self.id, error.code, extra={"kind": error.code})
        room, topic = getattr(command, "room", None), getattr(command, "topic", None)
        self.connection.refuse(error, ref=command.ref, room=room, topic=topic)

    def end(self, why: Disconnect) -> None:
        """Close the connection from outside of its task, with a `disconnect` event."""
        self.connection.close(why)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Execute a command, or a part of it that has a reply of its own.

        Raises `CommandError` with `unavailable` if it takes longer than `HANDLER_SECONDS`, or if
        the database fails.
        """
        self.engine.watchdog.begin(self.connection)
        try:
            return await work
        except asyncio.CancelledError:
            if not self.connection.was_given_up():
                raise
            raise CommandError(ErrorCode.UNAVAILABLE, TOO_SLOW, retry_after=1) from None
        except DatabaseError as error:
            logger.warning("connection %s: the database failed: %r", self.id, error)
            raise CommandError(ErrorCode.UNAVAILABLE, NO_DATABASE, retry_after=1) from None

    def may_change_identity(self) -> bool:
        """Return whether `auth` may give this connection another identity."""
        return True

    # Called by the engine: see `ConnectionEvents`.

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Override this to act on changed rights: in one room or in all, of one user or of all."""

    def on_user_changed(self, identity: Identity) -> None:
        """Replace the user by the changed user."""
        self._login.replace_user(identity)
        self.on_rights_changed()

    def _refuse_large(self) -> None:
        self._lifecycle.refuse_large()


Consumer.commands = CommandSet.of(Consumer)
