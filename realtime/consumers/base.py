"""One connection's life: open, decode, dispatch, reply, and always clean up."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from channels.consumer import AsyncConsumer
from django.db import Error as DatabaseError

from ..auth.address import address_of
from ..auth.authenticator import Authentication
from ..auth.guests import renamed, token_of, unnamed
from ..auth.identify import identify, identify_token
from ..auth.origin import admit, refuse
from ..conf import config
from ..engine.bus.publisher import publisher
from ..engine.connections.admission import Slot
from ..engine.connections.connection import Connection, Phase
from ..engine.connections.intake import Intake
from ..engine.connections.ledger import Ledger
from ..engine.connections.outbox import Outbox
from ..engine.connections.turns import Turn
from ..engine.engine import Engine, shutdown
from ..engine.servers.transport import end_pings, is_blind, server_send
from ..logs import get_logger
from ..store.accounts.addresses import network_of
from ..store.accounts.identity import Identity, fault_of_key
from ..store.accounts.visitor import Visitor
from ..store.moderation import names, sanctions
from ..store.moderation.names import Named
from ..wire import events
from ..wire.codecs import CODECS, Codec, Decoded, Part, byte_size, choose
from ..wire.commands import Auth, Command, Ping, Pong
from ..wire.costs import REPLY_BYTES
from ..wire.errors import CloseCode, CommandError, Disconnect, ErrorCode
from ..wire.events import PROTOCOL, Authenticated, Failure, Outgoing, Welcome, timestamp
from ..wire.packet import Packet
from ..wire.ratelimit import Bucket
from .commands import CommandSet, command, with_ref
from .expiry import Expiry
from .first_message import FirstMessage
from .heartbeat import Heartbeat

__all__ = ["Consumer"]

logger = get_logger("realtime.consumer")

T = TypeVar("T")
BAD_FRAMES = 5
"""How many in a row end a connection."""
BAD_OBJECTS = 5
"""After so many bad commands, the rest of a frame is not read."""
OBJECT_BYTES, REFUSAL_BYTES = 512, 256
"""The cost of an object and of a refusal, in bytes of the allowance."""
SLOW_SECONDS, SECOND_BYTES = 0.0005, 16 * 1024 * 1024
"""Slower decoding is also charged by its time: so many bytes a second."""
REFUSALS_PER_SECOND, REFUSALS_BURST = 5, 100
"""How often a client may run into a limit, or be wrong, before it is taken for an attack."""
RATE_LIMITED_SECONDS = 5.0
"""How long who is cut for that has to stay away at least."""
IDENTITIES = 10
"""How often a connection may change its identity; sanctions of its earlier ones stay with it."""
NAME_COST = 6
"""How many acts of its allowance a change of name costs a guest."""
BAN_SECONDS = 1.0
"""How long a handshake waits for what may be against its user."""
ASK = {codec: Packet([codec.encode(events.Ping())]) for codec in CODECS.values()}
"""What asks a silent client whether it is there."""


class Consumer(AsyncConsumer):
    """A connection that speaks protocol v1: `auth`, `ping` and `pong`; subclasses add commands.

    It is mounted as any Channels consumer. Subclasses have methods marked `@command`, and may use
    `opened` and `closed`. A `CommandError` becomes an `error` reply; anything else that is raised
    ends the connection, with a log line.
    """

    commands: ClassVar[CommandSet]
    """What clients may send, and the methods that carry it out."""
    engine: Engine
    connection: Connection
    _sanctions_known: int | None
    """Up to which change of the site's bans and mutes it was checked; None where that failed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.commands = CommandSet.of(cls)

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Any:
        """Make an ASGI application, and mark this process as one that serves sockets."""
        publisher.is_server = True
        return super().as_asgi(**initkwargs)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Run the connection to its end."""
        if not admit(scope):
            await refuse(receive, send)
            return
        self.scope = scope
        self._receive = receive
        self._bad_frames = 0
        self._held: asyncio.Future[None] | None = None
        server = server_send(scope, send)
        self._intake = Intake(server, self.end, self._refuse_frame)
        if (await receive())["type"] != "websocket.connect":
            return
        self.engine = await Engine.current()
        codec, subprotocol = choose(scope.get("subprotocols", []))
        peer_address = address_of(scope)
        self.connection = Connection(
            self.engine.new_connection(),
            self,
            send,
            codec,
            server=server,
            ledger=Ledger(config().outbox_bytes) if is_blind(scope, server) else None,
            address=network_of(peer_address),
            peer_address=peer_address,
            task=asyncio.current_task(),
            scope=scope,
        )
        self.connection.acquire(self._close_intake)
        self._turn = Turn(self.engine.passes)
        self._slot = Slot(self.engine.admission, self.address)
        self._expiry = Expiry(self._warn_of_end, self._expire)
        self._heartbeat = Heartbeat(
            self.engine.loop, self._ping, self._end_silent, self._is_not_heard
        )
        try:
            await self._run(subprotocol, send, server)
        finally:
            await self._clean_up()

    # What subclasses use.

    @property
    def id(self) -> str:
        """The name of the connection, which no other connection ever has."""
        return self.connection.id

    @property
    def who(self) -> Identity:
        """The user or guest of the connection."""
        return self.connection.identity

    @property
    def address(self) -> str:
        """The address that limits count the connection by; empty where it is unknown."""
        return self.connection.address

    @property
    def codec(self) -> Codec:
        """The encoding that the client has chosen."""
        return self.connection.codec

    @property
    def outbox(self) -> Outbox:
        """The sending half of the connection."""
        return self.connection.outbox

    async def opened(self) -> None:
        """The connection is open and it is known who it is."""

    async def closed(self) -> None:
        """The connection is gone; also runs when its task is cancelled."""

    async def handle(self, command: Command) -> None:
        """Carry out one command and send its reply; raise `CommandError` to refuse it."""
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
        return events.Pong(t=command.t, server_time=_now())

    @command
    async def pong(self, command: Pong) -> None:
        """Take the client's answer to a `ping`."""
        self.outbox.acknowledge(command.t)

    @command
    async def auth(self, command: Auth) -> Authenticated:
        """Sign in as another user, renew a token, or give a guest another name."""
        await self._authenticate(command)
        return self._identity_told()

    def reply(self, outgoing: Outgoing) -> None:
        """Send something to this client alone."""
        self.outbox.reply(outgoing)

    def reply_paid(self, outgoing: Outgoing, allowance: str) -> None:
        """Send a reply that may be large, and charge its bytes to an allowance."""
        frame = self.codec.encode(outgoing)
        self.outbox.send(frame)
        self.engine.limits.owe(self.connection, allowance, len(frame) / REPLY_BYTES)

    def end(self, why: Disconnect) -> None:
        """End the connection from outside of its own task: tell why, close, then abort."""
        self.connection.close(why)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Do a command, or a part of one that is answered by itself.

        Raises `CommandError` with `unavailable` where it takes longer than `HANDLER_SECONDS`, or
        where the database fails.
        """
        self.engine.watchdog.begin(self.connection)
        try:
            return await work
        except asyncio.CancelledError:
            if not self.connection.was_given_up():
                raise
            raise CommandError(ErrorCode.UNAVAILABLE, "that took too long", retry_after=1) from None
        except DatabaseError as error:
            logger.warning("connection %s: the database failed: %r", self.id, error)
            message = "try again in a moment"
            raise CommandError(ErrorCode.UNAVAILABLE, message, retry_after=1) from None

    def may_change_identity(self) -> bool:
        """Whether `auth` may still make this connection somebody else."""
        return True

    # Its life.

    async def _run(self, subprotocol: str | None, send: Any, server: Any) -> None:
        try:
            end = await self._identify()
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            self._intake.open()
            if end is not None:
                raise end
            first = None if self._slot.is_authenticated else await self._first_message()
            if self.connection.phase < Phase.CLOSING:
                self._open()
                if subprotocol is not None:
                    end_pings(server)
                    self._heartbeat.start()
                    self.connection.acquire(self._heartbeat.stop)
                await self.opened()
                if first is not None:
                    await self._finish_first_message(*first)
            await self._serve()
        except Disconnect as why:
            await self.connection.finish(why)
        except asyncio.CancelledError:
            if self.connection.was_dropped():
                return  # only this makes the server close the socket
            await asyncio.shield(self.connection.say_goodbye(shutdown()))
            raise
        except Exception:
            logger.exception("connection %s failed", self.id)
            await self.connection.say_goodbye(Disconnect(CloseCode.INTERNAL))

    async def _identify(self) -> Disconnect | None:
        """Find out who it is; what speaks against it is told after the handshake."""
        if self.engine.is_stopping:
            return shutdown()
        try:
            self._slot.acquire()
            self.connection.acquire(self._slot.release)
            if (found := await identify(self.scope, self.engine.db)) is not None:
                await self._sign_in(found)
            else:
                self._slot.wait()
        except Disconnect as why:
            return why
        except Exception:
            logger.exception("connection %s cannot be identified", self.id)
            return Disconnect(CloseCode.INTERNAL, retry_after=1)
        return None

    async def _sign_in(self, found: Authentication) -> None:
        if fault := fault_of_key(found.who, is_bounded=not self.engine.db.is_sqlite):
            # Such a row would fail for the whole process, or pass for a guest's.
            logger.error("user %r cannot sign in: %s See W052 and W053.", found.who.user_id, fault)
            raise Disconnect(CloseCode.UNAUTHENTICATED, fault)
        await self._check_banned(found.who)
        who = await self._with_free_name(found.who)
        self._slot.authenticate(who)
        self.connection.identity, self.connection.credential = who, found.credential

    async def _first_message(self) -> tuple[Auth, Iterator[Part]] | None:
        """Wait for a client to say who it is; None if it has gone instead."""
        self.connection.move(Phase.AUTHENTICATING)
        try:
            decoder = self.commands.decoder
            first = await FirstMessage(self._next, self.codec, decoder, self.reply).wait()
            if first is None:
                self.connection.lose()
            else:
                await self._sign_in(await identify_token(first[0].token or "", self.engine.db))
        finally:
            self._slot.stop_waiting()
        if self.engine.is_stopping:
            raise shutdown()
        return first

    async def _finish_first_message(self, auth: Auth, rest: Iterator[Part]) -> None:
        """Answer the first command, and carry out what came along with it."""
        self.reply(with_ref(self._identity_told(), auth))
        try:
            await self._take_all(rest)
        finally:
            self.engine.watchdog.finish(self.connection)

    def _open(self) -> None:
        self.connection.move(Phase.OPEN)
        self.outbox.watch()
        self._refusals = Bucket(REFUSALS_PER_SECOND, REFUSALS_BURST, self.engine.loop.time())
        self.connection.acquire(self._expiry.stop)
        self.engine.open(self.connection)
        self._track()
        settings = config()
        self.reply(
            Welcome(
                connection=self.id,
                user_id=self.who.user_id,
                username=self.who.username,
                protocol=PROTOCOL,
                heartbeat=settings.heartbeat_seconds,
                limits={
                    "frame_bytes": settings.frame_bytes,
                    "content_characters": settings.content_characters,
                    "rooms": settings.rooms_per_connection,
                },
                server_time=_now(),
                guest_token=token_of(self.who) if self.who.is_guest else None,
            )
        )

    async def _serve(self) -> None:
        self._intake.check()
        while not self.connection.is_gone:
            event = await self._next()
            if event["type"] == "websocket.disconnect":
                self.connection.lose()
                return
            self._heartbeat.received()
            # What comes after the end was told stays without an answer: its sender repeats it.
            if self.connection.phase is Phase.OPEN and not self.engine.is_stopping:
                text = event.get("text")
                try:
                    await self._take(event.get("bytes") or b"" if text is None else text)
                finally:
                    self.engine.watchdog.finish(self.connection)
                self._heartbeat.received()
                self._intake.check()

    async def _next(self) -> Any:
        event = await self._receive()
        self._intake.received()
        return event

    # What the engine tells: see `ConnectionEvents`.

    def on_rights_changed(self, room: str = "", user_id: str = "") -> None:
        """The rights in a room have changed, or in every room; with `user_id` only that user's."""

    def on_user_changed(self, user: Any) -> None:
        """Take over the user as it is now."""
        who = Identity.of(user).after(self.who)
        if who.username != self.who.username:
            self.engine.rename(self.connection, who)
        self.connection.identity = who
        self.on_rights_changed()

    def on_slow(self) -> None:
        """Let the client wait at its own end while a command takes long."""
        self._intake.stop()

    def on_closing(self) -> None:
        """Do not wait any longer for what the client owes."""
        if self._held is not None and not self._held.done():
            self._held.set_result(None)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the client last sent something; 0 if it cannot be pinged."""
        return self._heartbeat.seconds

    def probe(self, seconds: float) -> bool:
        """Ping the client, and close the connection if it does not answer in time."""
        return self._heartbeat.probe(seconds)

    def _ping(self) -> None:
        self.outbox.post(ASK[self.codec])

    def _end_silent(self) -> None:
        self.end(Disconnect(CloseCode.SILENT))

    def _expire(self) -> None:
        self.end(Disconnect(CloseCode.EXPIRED))

    def _close_intake(self) -> None:
        # Of its own close a server may say that it is the end, and read on for seconds.
        is_gone = self.connection.is_gone and not self.outbox.is_told
        self._intake.close(is_gone=is_gone)

    async def _clean_up(self) -> None:
        was_open = self.id in self.engine.connections
        self.connection.release()
        if was_open:
            try:
                await self.closed()
            except Exception:
                logger.exception("connection %s cannot clean up", self.id)

    # A frame.

    async def _take(self, frame: str | bytes) -> None:
        await self._take_all(self._parts(frame))

    def _parts(self, frame: str | bytes) -> Iterable[Part]:
        limit = config().frame_bytes
        if byte_size(frame, limit) > limit:
            return (_too_large(),)
        return self.codec.parts(frame)

    async def _take_all(self, parts: Iterable[Part]) -> None:
        """Charge, decode and execute the objects of a frame, one after the other."""
        most, bad = config().commands_per_frame, 0
        for number, part in enumerate(parts):
            if wait := self._pay_for(part):
                await self._pause(wait)
            elif self._turn.is_over:
                await asyncio.sleep(0)
            if self.connection.phase is not Phase.OPEN:  # as with what comes in further frames
                return
            decoded = self._decode(part) if number < most else _too_many(most)
            if isinstance(decoded, CommandError):
                bad += 1
                self._answer_bad(decoded, bad)
            else:
                await self._execute(decoded)
            if number >= most or bad >= BAD_OBJECTS:
                break
        self._bad_frames = self._bad_frames + 1 if bad else 0
        if self._bad_frames >= BAD_FRAMES:
            raise Disconnect(CloseCode.TOO_MANY_ERRORS)

    def _decode(self, part: Part) -> Decoded:
        began = time.perf_counter()
        decoded = self.codec.command(part, self.commands.decoder)
        took = time.perf_counter() - began
        if took > SLOW_SECONDS:
            self._pay(took * SECOND_BYTES)
        return decoded

    def _answer_bad(self, error: CommandError, bad: int) -> None:
        self._count_refusal()
        if bad == BAD_OBJECTS:
            error.message += f"; after {bad} bad commands the rest of the frame is not read"
        self.reply(Failure.of(error))

    def _pay_for(self, part: Part) -> float:
        """Charge an object before it is decoded; return the seconds to pause, or 0."""
        size = 0 if isinstance(part, CommandError) else byte_size(part, config().frame_bytes)
        return self._pay(OBJECT_BYTES + size)

    def _pay(self, size: float) -> float:
        return self.engine.limits.owe(self.connection, "bytes", size)

    async def _pause(self, seconds: float) -> None:
        """Read nothing for so many seconds."""
        self.engine.watchdog.finish(self.connection)
        self._intake.stop()
        self._held = self.engine.loop.create_future()
        try:
            await asyncio.wait([self._held], timeout=seconds)
        finally:
            self._held = None

    def _is_not_heard(self) -> bool:
        """Return whether unread input or unsent output explains the silence of the client."""
        is_busy = self._held is not None or self.engine.watchdog.is_busy(self.connection)
        return is_busy or not self.outbox.is_free

    def _refuse_frame(self) -> None:
        """Answer a frame that the server did not read because of its size, as a bad frame."""
        self._bad_frames += 1
        self.reply(Failure.of(_too_large()))
        if not self._slot.is_authenticated:
            self.end(Disconnect(CloseCode.UNAUTHENTICATED))
        elif self._bad_frames >= BAD_FRAMES:
            self.end(Disconnect(CloseCode.TOO_MANY_ERRORS))

    async def _execute(self, command: Command) -> None:
        try:
            self._limit(command)
            await self.in_time(self.handle(command))
        except CommandError as error:
            self.refuse(command, error)

    def refuse(self, command: Command, error: CommandError) -> None:
        """Reply that a command failed."""
        logger.info("connection %s: %s", self.id, error.code, extra={"kind": error.code})
        failure = Failure.of(error)
        failure.ref = command.ref
        failure.room = error.room or getattr(command, "room", None)
        self.reply(failure)

    def _limit(self, command: Command) -> None:
        cost = self.commands[type(command)].cost
        if wait := self.engine.limits.take(self.connection, cost.allowance, cost.of(command)):
            self._count_refusal()
            if not cost.is_never_refused:
                raise CommandError(ErrorCode.RATE_LIMITED, "too many at once", retry_after=wait)

    def _count_refusal(self) -> None:
        self._pay(REFUSAL_BYTES)
        if wait := self._refusals.take(self.engine.loop.time()):
            raise Disconnect(CloseCode.RATE_LIMITED, retry_after=max(wait, RATE_LIMITED_SECONDS))

    # Who it is.

    async def _authenticate(self, command: Auth) -> None:
        who, credential = await self._claimed(command)
        who = who.after(self.who)
        if who != self.who:
            self._limit_names(who)
            if command.name is not None:
                await self.engine.db.read(_check_name, Visitor(who, self.address))
            is_other = who.is_guest or who.user_id != self.who.user_id
            if is_other and not self.may_change_identity():
                raise CommandError(ErrorCode.PERMISSION_DENIED, "leave your rooms first")
            if len(who.formerly) > IDENTITIES:
                text = "open a new connection to sign in as another user"
                raise CommandError(ErrorCode.PERMISSION_DENIED, text)
            await self._check_banned(who)
            self._become(who)
        if command.token is not None:
            self.connection.identity, self.connection.credential = who, credential
            self._track()

    def _limit_names(self, who: Identity) -> None:
        """Bound how often a guest changes its name, which is broadcast to its rooms."""
        is_new = who.is_guest and self.who.is_guest and who.username != self.who.username
        if not is_new or names.is_given(self.who.username):
            return  # the first one is free
        if wait := self.engine.limits.take(self.connection, "act", NAME_COST, identity=who):
            message = "you have changed your name too often; try again later"
            raise CommandError(ErrorCode.RATE_LIMITED, message, retry_after=wait)

    def _identity_told(self) -> Authenticated:
        who, ends = self.who, self.connection.credential.expires_at
        return Authenticated(
            user_id=who.user_id,
            username=who.username,
            expires_at=None if ends is None else timestamp(datetime.fromtimestamp(ends, UTC)),
            guest_token=token_of(who) if who.is_guest else None,
        )

    async def _check_banned(self, who: Identity) -> None:
        revalidator = self.engine.revalidator
        found, heard, self._sanctions_known = None, revalidator.sanctions_version, None
        # Where the database is away, the revalidator asks later; no room is entered before.
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(BAN_SECONDS):
                if revalidator.are_sanctions:
                    visitor = Visitor(who, self.address)
                    found = await self.engine.db.load(sanctions.on_site, visitor)
                self._sanctions_known = heard
        if (ban := sanctions.ban_among(found or ())) is not None:
            raise Disconnect(CloseCode.KICKED, sanctions.describe(ban, *who.user_ids))

    async def _with_free_name(self, who: Identity) -> Identity:
        """Take a returning guest's name away where it may not have it by now."""
        if not who.is_guest or names.is_given(who.username):
            return who
        with suppress(DatabaseError, TimeoutError):  # else the revalidator asks later
            async with asyncio.timeout(BAN_SECONDS):
                named = Named(who, who.username)
                if await self.engine.db.load(names.coming, named):
                    return unnamed(who.user_id)
        return who

    def _become(self, who: Identity) -> None:
        self._slot.authenticate(who)
        self.engine.rename(self.connection, who)

    async def _claimed(self, command: Auth) -> Authentication:
        found = Authentication(self.who, self.connection.credential)
        if command.token is not None:
            who, credential = await identify_token(command.token, self.engine.db)
            found = Authentication(await self._with_free_name(who.after(self.who)), credential)
        if command.name is None:
            return found
        if not found.who.is_guest:
            raise CommandError(ErrorCode.PERMISSION_DENIED, "only a guest chooses a name")
        try:
            return Authentication(renamed(found.who, command.name), found.credential)
        except ValueError as error:
            raise CommandError(ErrorCode.INVALID_MESSAGE, str(error)) from None

    def _track(self) -> None:
        """Have it asked from now on whether what it rests on still holds."""
        revalidator = self.engine.revalidator
        revalidator.track(
            self.connection, is_checked=self._sanctions_known == revalidator.sanctions_version
        )
        self._expiry.set(self.connection.credential.expires_at)

    def _warn_of_end(self) -> None:
        self.reply(Failure.of(CommandError(ErrorCode.TOKEN_EXPIRED, "send a new token by `auth`")))


Consumer.commands = CommandSet.of(Consumer)


def _too_many(most: int) -> CommandError:
    message = f"a frame may hold at most {most} commands; the rest of it is not read"
    return CommandError(ErrorCode.TOO_LARGE, message)


def _check_name(visitor: Visitor) -> None:
    """Raise `CommandError` where a guest may not take the name that it has now."""
    who = visitor.who
    if (mute := sanctions.mute_anywhere(visitor.subject)) is not None:
        told = f"{sanctions.describe(mute, *who.user_ids)}; until then you keep your name"
        raise CommandError(ErrorCode.PERMISSION_DENIED, told)
    if problem := names.problem(Named(who, who.username)):
        raise CommandError(ErrorCode.INVALID_MESSAGE, problem)


def _too_large() -> CommandError:
    message = f"a frame may have at most {config().frame_bytes} bytes"
    return CommandError(ErrorCode.TOO_LARGE, message)


def _now() -> str:
    return timestamp(datetime.now(UTC))
