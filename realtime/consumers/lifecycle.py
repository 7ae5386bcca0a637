"""The life of one connection: from its handshake, through its frames, to its end."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..conf import config
from ..counts import counts
from ..engine.connections.connection import Connection
from ..engine.connections.intake import Intake
from ..engine.connections.one_way import END_OF_INPUT, OneWay
from ..engine.connections.phase import Phase
from ..engine.engine import shutdown
from ..engine.servers.exits import PASSING, contained
from ..engine.servers.transport import end_pings, lacks_backpressure
from ..log_fields import client
from ..logs import get_logger
from ..wire.codecs import CODECS, Part
from ..wire.commands import Auth
from ..wire.errors import CLOSE_CODES, CloseCode, CommandError, Disconnect
from ..wire.events import Ping
from ..wire.packet import Packet, byte_length
from .authentication import Login, authenticated
from .commands import with_ref
from .first_message import FirstMessage
from .frames import Frames
from .handshake import identify_client, sign_in_by_first_message, welcome
from .heartbeat import Heartbeat
from .inbox import Inbox
from .raw_frames import RawFrames

if TYPE_CHECKING:
    from .base import Consumer

__all__ = ["Lifecycle"]

logger = get_logger("realtime.consumer")

TOO_LONG = "connection %s: on_disconnect() of the consumer takes too long, and was cancelled"
REPLIES_SECONDS = 15.0
"""The longest wait for the replies to a client that sends nothing more."""
ENDS = {"websocket.disconnect", END_OF_INPUT["type"]}
"""The events after which a client sends nothing more."""
PING = {codec: Packet([codec.encode(Ping())]) for codec in CODECS.values()}
"""The frame that pings a silent client, by codec."""


class Lifecycle:
    """Runs one connection for its consumer; `receive` and `send` are those of ASGI."""

    __slots__ = (
        "_connection",
        "_consumer",
        "_engine",
        "_frames",
        "_heartbeat",
        "_inbox",
        "_intake",
        "_login",
        "_receive",
    )

    def __init__(self, consumer: "Consumer", login: Login, intake: Intake, receive: Any) -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._engine = consumer.engine
        self._login = login
        self._intake = intake
        self._receive = receive
        self._inbox: Inbox | None = None
        """Only a connection whose frames are gathered, or acknowledged, has one."""
        is_raw = not self._connection.codec.is_protocol
        self._frames = RawFrames(consumer) if is_raw else Frames(consumer)
        self._heartbeat = Heartbeat(
            self._engine.loop, self._ping, self._end_silent, self._is_not_heard
        )
        self._connection.heartbeat = self._heartbeat

    async def run(self, send: Any, server: Any) -> None:
        """Run the connection to its end, and release what it has acquired."""
        client.set(ref(self._connection))
        try:
            await self._begin(send, server)
            await self._serve()
        except Disconnect as why:
            await self._connection.finish(why)
        except asyncio.CancelledError:
            if self._connection.was_dropped():
                return  # only this makes the server close the socket
            await asyncio.shield(self._connection.finish_quietly(shutdown()))
            raise
        except PASSING:
            raise
        except BaseException:  # code of the site may raise `SystemExit`
            logger.exception("connection %s failed", self._connection.id)
            await self._connection.finish_quietly(Disconnect(CloseCode.INTERNAL))
        finally:
            await self._clean_up()

    def refuse_large(self) -> None:
        """Refuse a frame that was too large to be read."""
        self._frames.refuse_large()

    async def _begin(self, send: Any, server: Any) -> None:
        connection, login, engine = self._connection, self._login, self._engine
        refusal = await identify_client(self._consumer.scope, connection, login, engine)
        await send({"type": "websocket.accept", "subprotocol": connection.subprotocol})
        if refusal is None and not login.slot.is_authenticated:
            connection.move(Phase.AUTHENTICATING)
        self._intake.open()
        if refusal is not None:
            raise refusal
        first = await self._first_message()
        if connection.phase < Phase.CLOSING:
            self._open(server)
            await self._greet()
            if first is not None:
                await self._finish_first_message(*first)

    async def _greet(self) -> None:
        """Let the consumer act on its new connection, within the time of a command."""
        try:
            await self._consumer.in_time(self._consumer.on_connect())
        except CommandError as error:
            logger.warning("connection %s cannot be opened: %s", self._connection.id, error.code)
            end = Disconnect(CloseCode.INTERNAL, error.text, retry_after=error.retry_after)
            raise end from error
        finally:
            self._engine.watchdog.finish(self._connection)

    async def _first_message(self) -> tuple[Auth, Iterator[Part]] | None:
        connection = self._connection
        if connection.phase is not Phase.AUTHENTICATING:
            return None
        if not isinstance(self._frames, Frames):
            raise Disconnect(CloseCode.UNAUTHENTICATED)  # a raw client has no `auth`
        decoder = self._consumer.commands.decoder
        message = FirstMessage(self._next, connection.codec, decoder, connection.refuse)
        return await sign_in_by_first_message(message, connection, self._login, self._engine)

    def _open(self, server: Any) -> None:
        connection = self._connection
        connection.move(Phase.OPEN)
        counts.opened += 1
        connection.outbox.open()
        self._register(connection)
        self._login.track()
        if not connection.codec.is_protocol:
            return  # the server's own pings find a client that is gone
        if isinstance(self._frames, Frames) and lacks_backpressure(self._consumer.scope, server):
            self._inbox = Inbox(self._receive, self._frames.read_ahead)
        connection.reply(welcome(connection))
        if connection.subprotocol is not None and connection.one_way is None:
            end_pings(server)
            connection.acquire(self._stop_heartbeat)
            self._heartbeat.start()

    def _register(self, connection: Connection) -> None:
        """Register the connection; a brief one gets no events, and is present nowhere."""
        if connection.one_way is OneWay.BRIEF:
            connection.acquire(self._engine.watchdog.finish)
            self._engine.watch(connection)
        else:
            self._engine.open(connection)

    async def _finish_first_message(self, auth: Auth, rest: Iterator[Part]) -> None:
        """Answer the first command, and execute the commands that came with it."""
        self._connection.reply(with_ref(authenticated(self._connection), auth))
        try:
            if isinstance(self._frames, Frames):
                await self._frames.execute_parts(rest)
        finally:
            self._engine.watchdog.finish(self._connection)

    async def _serve(self) -> None:
        self._intake.check()
        connection = self._connection
        while not connection.is_gone:
            event = await self._next()
            if event["type"] == END_OF_INPUT["type"]:
                await self._finish_replies()
            if event["type"] in ENDS:
                connection.lose(event.get("code") or 0)
                return
            self._heartbeat.received()
            # After the `disconnect` event, commands have no reply: the client repeats them.
            if connection.phase is Phase.OPEN and not self._engine.is_stopping:
                text = event.get("text")
                frame = event.get("bytes") or b"" if text is None else text
                connection.outbox.traffic.receive(byte_length(frame))
                try:
                    await self._frames.execute(frame)
                finally:
                    self._engine.watchdog.finish(connection)
                self._heartbeat.received()
                self._intake.check()

    async def _finish_replies(self) -> None:
        """Wait until the client has got all its replies; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REPLIES_SECONDS):
                await self._flush()
                await self._consumer.until_replied()
                await asyncio.sleep(0)  # what is sent with this turn of the event loop
                await self._connection.outbox.until_free()

    async def _next(self) -> Any:
        if self._inbox is None and self._frames.due is None:
            event = await self._receive()
        else:
            event = await self._next_or_flush()
        self._intake.received()
        return event

    async def _next_or_flush(self) -> Any:
        """Wait for the next event, and meanwhile handle the batch when it is due."""
        inbox, loop = self._inbox or Inbox(self._receive), self._engine.loop
        self._inbox = inbox
        while (due := self._frames.due) is not None:
            if due > loop.time() and (event := await inbox.get(due)) is not None:
                return event
            await self._flush()
            self._intake.check()
        return await inbox.get()

    async def _flush(self) -> None:
        try:
            await self._frames.flush()
        finally:
            self._engine.watchdog.finish(self._connection)

    async def _clean_up(self) -> None:
        was_open = self._connection.id in self._engine.connections
        try:
            await self._finish_work()
        finally:
            self._connection.release()
            self._count_end(was_open=was_open)
            if was_open:
                await self._say_goodbye()

    async def _finish_work(self) -> None:
        """Handle what was gathered before the end, and end what runs in the background."""
        if self._inbox is not None:
            self._inbox.stop()
        try:
            await self._flush()
        except Disconnect as why:
            logger.debug("connection %s: %s after its end", self._connection.id, why)
        finally:
            await self._consumer.stop_background()

    def _count_end(self, *, was_open: bool) -> None:
        connection = self._connection
        if was_open:
            counts.close(connection.end_code, connection.client_code)
        else:
            code = connection.end_code or connection.client_code
            reason = CloseCode(code).name.lower() if code in CLOSE_CODES else "left"
            counts.refused[reason] += 1

    async def _say_goodbye(self) -> None:
        """Let the consumer act on the end, within the time of a command."""
        try:
            async with asyncio.timeout(config().handler_seconds):
                await contained(self._consumer.on_disconnect())
        except TimeoutError:
            logger.warning(TOO_LONG, self._connection.id)
        except Exception:
            logger.exception(
                "connection %s: on_disconnect() of the consumer failed", self._connection.id
            )

    # For the heartbeat.

    def _stop_heartbeat(self, connection: Connection) -> None:
        self._heartbeat.stop()

    def _ping(self) -> None:
        self._connection.outbox.post(PING[self._connection.codec])

    def _end_silent(self) -> None:
        self._connection.close(Disconnect(CloseCode.SILENT))

    def _is_not_heard(self) -> bool:
        """Return whether unread input or unsent output explains the silence of the client."""
        connection = self._connection
        is_busy = connection.is_paused or self._engine.watchdog.is_busy(connection)
        return is_busy or not connection.outbox.is_free
