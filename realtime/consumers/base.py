"""The base of all consumers: the methods that a site's own consumer may use and override."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import Any, ClassVar, TypeVar

from django.db import Error as DatabaseError
from django.db import IntegrityError
from django.utils.translation import gettext_lazy as _
from msgspec import Struct

from ..auth.origin import admit, refuse
from ..engine.bus.handover import Handover
from ..engine.bus.notes import RoomMove, Transfer
from ..engine.bus.publisher import publisher
from ..engine.connections.intake import Intake
from ..engine.engine import Engine
from ..engine.servers.exits import PASSING, failure
from ..engine.servers.transport import server_send
from ..logs import count_or_pass, get_logger
from ..store.accounts.identity import Identity
from ..store.database.servers import is_temporary
from ..topics import Event, Topic
from ..wire import events
from ..wire.commands import Answer, Auth, Command, Ping, Pong
from ..wire.costs import COSTS, REPLY_BYTES, Cost
from ..wire.errors import CommandError, ErrorCode
from ..wire.events import Authenticated, Outgoing, timestamp
from ..wire.handlers import mistake
from ..wire.packet import Packet
from .authentication import Login, authenticated
from .background import Background
from .commands import CommandSet, Handler, command, with_ref
from .execution import check_cancelled, checked_list
from .handlers import RUNS_ON
from .handshake import connect
from .lifecycle import Lifecycle
from .raw import RawHandlers, agree
from .sending import Sending

__all__ = ["Consumer", "unavailable"]

logger = get_logger("realtime.consumer")

REFUSED = "connection %s: a command was refused: %s"
TOO_SLOW = _("The server took too long. Try again in a moment.")
NO_DATABASE = _("The database is not available. Try again in a moment.")

T = TypeVar("T")


RENAMED = {"opened": "on_connect", "closed": "on_disconnect"}
"""Methods that had other names in an earlier release."""


class Consumer(Sending):
    """A connection with the commands `auth`, `ping`, `pong` and `answer` of protocol v1.

    Mount it as any Channels consumer. Subclasses add methods marked `@command`, and may override
    `on_connect` and `on_disconnect`. With `on_text(self, text)` or `on_bytes(self, data)` it takes
    raw frames. A `CommandError` becomes an `error` reply, and so does any other exception, which is
    logged.
    """

    commands: ClassVar[CommandSet]
    """The commands of clients, and the methods that handle them."""
    raw_handlers: ClassVar[RawHandlers]
    """The methods that handle raw frames."""
    subprotocols: ClassVar[Sequence[str]] = ()
    """The subprotocols of raw clients, of which the handshake answers one."""
    sends: ClassVar[Sequence[type[Outgoing]]] = (
        events.Welcome,
        events.Authenticated,
        events.Ping,
        events.Ask,
        events.Notice,
        events.SignalEvent,
        events.Failure,
        events.DisconnectEvent,
    )
    """What clients get beside replies, for the schema; subclasses list only what they add."""
    asks: ClassVar[Mapping[type[Struct], type[Struct]]] = {}
    """The questions to clients, with the struct of each answer, for the schema."""
    _login: Login
    _background: Background | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.commands = CommandSet.of(cls)
        cls.raw_handlers = RawHandlers.of(cls)
        if isinstance(cls.subprotocols, str):
            raise mistake(cls, "subprotocols", "is text: write a tuple of subprotocols")
        for name in RENAMED.keys() & vars(cls).keys():
            raise mistake(cls, name, f"is not called any more: rename it to `{RENAMED[name]}`")
        for name in RENAMED.values():
            if not iscoroutinefunction(getattr(cls, name)):
                raise mistake(cls, name, f"is not async: write `async def {name}(self)`")

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
        offered = scope.get("subprotocols", [])
        agreement = agree(offered, self.raw_handlers, self.commands, self.subprotocols)
        self.connection = connect(
            self, self.engine, scope, send, server=server, intake=intake, agreement=agreement
        )
        self._login = Login(self.connection, self.engine)
        self._lifecycle = Lifecycle(self, self._login, intake, receive)
        await self._lifecycle.run(send, server)

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

    async def on_connect(self) -> None:
        """Override this to act when the connection is open and has an identity."""

    async def on_disconnect(self) -> None:
        """Override this to act when the connection is gone; it also runs after a cancellation."""

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Run a coroutine beside the commands, until it ends or the connection closes.

        An exception in it is logged, and closes the connection with 4011; a `Disconnect` closes it
        with its own code.
        """
        if self._background is None:
            self._background = Background(self.connection)
        return self._background.spawn(work)

    async def publish(self, topic: Topic, event: Event) -> Handover:
        """Publish an event to the subscribers of a topic, as `topic.apublish(event)` does."""
        return await topic.apublish(event)

    async def handle(self, command: Command) -> None:
        """Execute a command and send its reply; raise `CommandError` to refuse it."""
        method, cost, _batching = self.commands[type(command)]
        try:
            reply = await method(self, command)
        except IntegrityError as error:
            if type(command) not in COSTS:
                raise
            raise unavailable(self.id, error) from None  # a user or room was deleted meanwhile
        if reply is None:
            return
        with_ref(reply, command)
        if cost.is_reply_charged:
            self.reply_paid(reply, cost.allowance)
        else:
            self.reply(reply)

    async def handle_batch(self, handler: Handler, commands: list[Command]) -> None:
        """Execute commands of one type at once, and send their replies together."""
        replies = await handler.method(self, commands)
        if replies is None:
            return
        pairs = list(zip(commands, checked_list(replies, len(commands)), strict=True))
        encode = self.connection.codec.encode
        # All of them first: after an error here, each command is answered with that.
        frames = [encode(with_ref(reply, one)) for one, reply in pairs if _is_sent(reply)]
        for one, reply in pairs:
            if isinstance(reply, CommandError):
                self.refuse(one, reply)
        if handler.cost.is_reply_charged:
            size = sum(map(len, frames)) / REPLY_BYTES
            self.engine.limits.owe(self.connection, handler.cost.allowance, size)
        if frames:
            packet = Packet(self.connection.codec.pack(frames))
            self.outbox.post(packet, is_requested=True)

    @command
    async def ping(self, command: Ping) -> events.Pong:
        """Answer with the time of the server."""
        return events.Pong(t=command.t, server_time=timestamp(datetime.now(UTC)))

    @command
    async def pong(self, command: Pong) -> None:
        """Accept the answer of the client to a `ping`."""
        self.outbox.acknowledge(command.t)

    @command
    async def answer(self, command: Answer) -> None:
        """Give the answer of the client to the code that has asked."""
        self.engine.questions.answer(self.connection, command)

    @command
    async def auth(self, command: Auth) -> Authenticated:
        """Sign in as another user, renew a token, or give a guest another name."""
        await self._login.change(command, self.reason_against_auth)
        return authenticated(self.connection)

    def refuse(self, command: Command, error: CommandError) -> None:
        """Reply that a command failed."""
        if count_or_pass(logger, logging.INFO, REFUSED, error.code):
            logger.info(REFUSED, self.id, error.code, extra={"kind": error.code})
        room, topic = getattr(command, "room", None), getattr(command, "topic", None)
        self.connection.refuse(error, ref=command.ref, room=room, topic=topic)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Execute a command, or a part of it that has a reply of its own.

        Raises `CommandError` with `unavailable` if it takes longer than `HANDLER_SECONDS`, or if
        the database is away; other errors of the database are mistakes.
        """
        self.engine.watchdog.begin(self.connection)
        try:
            return await work
        except asyncio.CancelledError as cancelled:
            if not self.connection.was_given_up():
                check_cancelled(cancelled)
                raise
            outcome = "unknown" if RUNS_ON in cancelled.args else None
            raise CommandError(
                ErrorCode.UNAVAILABLE, TOO_SLOW, retry_after=1, outcome=outcome
            ) from None
        except DatabaseError as error:
            if not is_temporary(error):
                raise
            raise unavailable(self.id, error) from None
        except (Exception, *PASSING):
            raise
        except BaseException as error:
            raise failure(error) from error

    def charge_for(self, command: Command, cost: Cost) -> tuple[Struct, Cost]:
        """Return what is charged for a command of this cost; the call of a topic has its own."""
        return command, cost

    def reason_against_auth(self) -> object:
        """Return why `auth` may not give the connection another identity; None if it may.

        The reason is a sentence for people that says what to do, and may be a lazy translation.
        """
        return None

    # Called by the engine: see `ConnectionEvents`.

    @property
    def is_moving(self) -> bool:
        """Whether a join or leave of the site's code is not made yet."""
        return False

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """Override this to act on changed rights: in one room or in all, of one user or of all."""

    def on_topic_rights_changed(self, name: str) -> None:
        """Override this to act on changed rights in a topic."""

    def on_room_move(self, move: RoomMove | Transfer) -> None:
        """Override this to join or leave rooms for the site's code; the chat does so."""

    def on_user_changed(self, identity: Identity) -> None:
        """Replace the user by the changed user."""
        self._login.replace_user(identity)
        self.on_rights_changed()

    async def stop_background(self) -> None:
        """End the coroutines that `spawn` has started."""
        if self._background is not None:
            await self._background.stop()

    def _refuse_large(self) -> None:
        self._lifecycle.refuse_large()


def _is_sent(reply: object) -> bool:
    return reply is not None and not isinstance(reply, CommandError)


def unavailable(connection_id: str, error: DatabaseError) -> CommandError:
    """Log that the database failed, and return the refusal of a command that needed it."""
    logger.warning("connection %s: the database failed: %r", connection_id, error)
    return CommandError(ErrorCode.UNAVAILABLE, NO_DATABASE, retry_after=1)


Consumer.commands = CommandSet.of(Consumer)
Consumer.raw_handlers = RawHandlers.of(Consumer)
