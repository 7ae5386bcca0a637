"""Execute the calls of one connection: check its rights, then run the handler of the topic."""

from collections.abc import Callable

from django.db import Error as DatabaseError
from django.utils.translation import gettext_lazy as _
from msgspec import Struct

from ...engine.connections.connection import Connection
from ...engine.engine import Engine
from ...logs import get_logger
from ...spans import Span, spans
from ...store.accounts.visitor import Visitor
from ...store.database.servers import is_temporary
from ...topics.calls import result
from ...topics.registry import registry
from ...topics.subscriptions import Subscriptions
from ...topics.topic import Topic
from ...wire.commands import Call
from ...wire.costs import REPLY_BYTES, Cost
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import Result
from ...wire.handlers import USUAL_COST
from ...wire.packet import Packet
from ..failures import Failures
from .call_queue import CallQueue, PendingCall

__all__ = ["Calls"]

logger = get_logger("realtime.consumer")

ATTEMPTS = 3
"""How often the rights of a call are checked again because its user has changed meanwhile."""
FAILED = _("There was an unexpected error on the server.")
UNDECIDED = _("The server cannot read your rights. The call was not executed.")
AWAY = _("The database is not available. The call may have been executed.")
Refuse = Callable[[Call, CommandError], None]


class Calls:
    """The calls of one connection, until it closes; `refuse` answers one with an error."""

    def __init__(
        self, engine: Engine, connection: Connection, subscriptions: Subscriptions, refuse: Refuse
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._subscriptions = subscriptions
        self._refuse = refuse
        self._queue = CallQueue(self._execute)
        self._failures = Failures()
        self._found: tuple[Call, Topic] | None = None
        """The call that is charged now, with its topic."""
        connection.acquire(lambda _: self._queue.close())

    def charge_for(self, command: Call) -> tuple[Struct, Cost]:
        """Return the command of a topic and its cost; a call that will be refused costs as usual.

        It is refused in its turn, after the check of rights: so nobody learns which topics exist.
        """
        try:
            topic = self._find(command)
            handler = topic.calls.get(command.name)
            if handler is None or handler.cost is USUAL_COST:
                return command, USUAL_COST
            return topic.calls.decode(command)[1], handler.cost
        except CommandError:
            return command, USUAL_COST

    def __len__(self) -> int:
        """Return the number of calls that wait or run."""
        return len(self._queue)

    async def add(self, command: Call) -> None:
        """Queue a call behind the others to its topic; raise `CommandError` for no topic."""
        topic = self._find(command)
        self._found = None
        await self._queue.add(topic, command, lambda error: self._refuse(command, error))

    async def until_replied(self) -> None:
        """Wait until no call waits or runs."""
        await self._queue.until_fewer(1)

    async def _execute(self, call: PendingCall) -> None:
        """Execute a call, and answer it; raise nothing."""
        try:
            with spans.command("call", self._connection.id, call.topic.name) as span:
                reply = await self._reply_to(call, span)
            frame = self._connection.codec.encode(reply)
            self._failures.clear()
            if call.claim_answer():
                await self._send(frame)
        except CommandError as error:
            self._failures.clear()
            call.refuse(error)
        except Exception as error:
            if is_temporary(error):
                self._refuse_while_away(call, error)
            else:
                self._fail(call, error)

    async def _reply_to(self, call: PendingCall, span: Span) -> Result:
        """Return the reply to a call; raise what its handler raises."""
        command = call.command
        call.begin(self._connection.phase)
        topic = await self._permitted(call.topic)
        handler, argument = topic.calls.decode(command)
        span.note(command=command.name)
        call.begin(self._connection.phase)
        if handler.is_async:
            reply = await call.in_loop(handler.method(topic, argument))
        else:
            owner = Visitor(topic.identity, self._connection.address).thread_owner
            method = spans.bound(handler.method)
            future = self._engine.db.call(method, topic, argument, owner=owner)
            reply = await call.in_thread(future)
        return result(topic.name, reply, command.ref)

    def _find(self, command: Call) -> Topic:
        """Return the topic of a call, which is resolved once; raise `CommandError` for no topic."""
        if self._found is None or self._found[0] is not command:
            self._found = command, registry.resolve(command.topic, self._connection.identity)
        return self._found[1]

    async def _permitted(self, topic: Topic) -> Topic:
        """Return the topic of a call, for the user of this moment, who may subscribe to it.

        It is an instance for each call, and keeps nothing. Raises `CommandError` to refuse.
        """
        for _attempt in range(ATTEMPTS):
            if topic.identity is not self._connection.identity:  # it has changed meanwhile
                topic = registry.resolve(topic.name, self._connection.identity)
            await self._check_rights(topic)
            if topic.identity is self._connection.identity:
                return topic
        raise CommandError(ErrorCode.UNAVAILABLE, UNDECIDED, retry_after=1)

    async def _check_rights(self, topic: Topic) -> None:
        try:
            await self._subscriptions.check(topic)
        except DatabaseError as error:
            logger.warning(
                "connection %s: reading rights for a call failed: %r", self._connection.id, error
            )
            raise CommandError(ErrorCode.UNAVAILABLE, UNDECIDED, retry_after=1) from None

    async def _send(self, frame: str | bytes) -> None:
        """Send a reply when the client has read others; charge its bytes, as they may be many."""
        outbox = self._connection.outbox
        await outbox.until_free()
        outbox.post(Packet([frame]), is_requested=True)
        self._engine.limits.owe(self._connection, "command", len(frame) / REPLY_BYTES)

    def _refuse_while_away(self, call: PendingCall, error: Exception) -> None:
        logger.warning(
            "connection %s: the database failed in a call: %r", self._connection.id, error
        )
        call.refuse(CommandError(ErrorCode.UNAVAILABLE, AWAY, retry_after=1, outcome="unknown"))

    def _fail(self, call: PendingCall, error: Exception) -> None:
        """Log an unexpected exception, and close the connection after many in a row."""
        logger.error("connection %s: a call failed", self._connection.id, exc_info=error)
        call.refuse(CommandError(ErrorCode.INTERNAL, FAILED))
        if end := self._failures.add():
            self._connection.close(end)
