"""Start and stop the parts of one process; one engine for each event loop, made on first use.

`stop` is the graceful shutdown: it commits what is queued, and says when clients may reconnect.
"""

import asyncio
import itertools
import os
import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from hashlib import blake2s
from typing import Any

from django.db import Error as DatabaseError

from ..hooks import hooks
from ..logs import get_logger
from ..store import presence
from ..store.accounts.identity import Identity
from ..store.presence import Place
from ..wire.errors import CloseCode, Disconnect
from .after import AfterHooks
from .bus.notes import Answered, Inspect, NodeChanged, ProcessNote, Question, Trace
from .bus.publisher import publisher
from .connections.admission import Admission
from .connections.connection import Connection
from .connections.limits import Limits
from .connections.outbox import CLOSE_SECONDS
from .connections.phase import Phase
from .connections.presence import PresenceWriter
from .connections.questions import Questions
from .connections.revalidation import Revalidator
from .connections.turns import Passes
from .connections.watchdog import Watchdog
from .database.executor import Database
from .database.writer import Writer
from .delivery.hub import EVERYONE, Hub
from .delivery.topic import Topic
from .draining import Draining
from .pulse import Pulse, new_node
from .reporting import Reporter
from .servers.shutdown import on_shutdown
from .teardown import Teardown
from .tracing.tracer import Tracer

__all__ = ["EVERYONE", "Engine", "find_connection", "own_node", "shutdown", "user_topic"]

logger = get_logger("realtime.engine")

DRAIN_SECONDS = 2.0
"""The longest wait for queued messages to be committed, before clients are disconnected."""
RELEASE_SECONDS = 1.5
"""The longest wait for the rows of the node to be deleted, before the process ends."""
_engines: dict[asyncio.AbstractEventLoop, "Engine"] = {}
_inherited: list[object] = []


def find_connection(connection: str) -> Connection | None:
    """Return an open connection of this process by its id, or None; in any thread."""
    found = (engine.connections.get(connection) for engine in list(_engines.values()))
    return next((one for one in found if one is not None), None)


def own_node() -> str:
    """Return the id of the node of this process, for log records; empty without an engine."""
    engines = list(_engines.values())
    with suppress(RuntimeError):  # no loop runs in this thread
        engines = [_engines[loop]] if (loop := asyncio.get_running_loop()) in _engines else engines
    return next((one.node.id for one in engines if not one.is_stopped), "")


def user_topic(user_id: str) -> str:
    """Return the name of a user's topic: hashed, because a user id may be any text."""
    return "user." + blake2s(user_id.encode(), digest_size=16).hexdigest()


def shutdown() -> Disconnect:
    """Return the close of a server shutdown; a random `retry_after` spreads the reconnects."""
    return Disconnect(CloseCode.SHUTDOWN, retry_after=round(random.uniform(0.5, 3), 2))  # noqa: S311


class Engine:
    """Database threads, hub, writer, presence and pulse of one process."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.node = new_node()
        self.topic = f"node.{self.node.id}"
        self.db = Database()
        self.revalidator = Revalidator(self.db)
        self.questions = Questions(self.send_to_process)
        self.reporter = Reporter(self)
        self.tracer = Tracer(self)
        self.hub = Hub(
            self.node.id,
            self.db,
            self.revalidator.on_change,
            self.questions.ask,
            publisher.answers.settle,
            self._receive,
        )
        self.after = AfterHooks(self.db)
        tell_hooks = self.after.add if hooks().hears_messages else None
        self.writer = Writer(self.db, self.hub.publish_committed, tell_hooks)
        self.connections: dict[str, Connection] = {}
        self.draining = Draining(self.node.id, self.db, self.connections, self.writer)
        self.presence = PresenceWriter(
            self.node, self.db, self._announce, lambda: self.draining.seconds
        )
        self.admission = Admission(self.revalidator.connections)
        self.limits = Limits()
        self.passes = Passes(self.loop)
        self.watchdog = Watchdog()
        self.is_stopping = self.is_stopped = False
        self.stop_accepting: Callable[[], object] = lambda: None
        """Closes the listening socket, if other processes accept connections from it."""
        self._on_close = self._remove  # one method object for all connections
        self._empty = asyncio.Event()
        self._empty.set()
        self._numbers = itertools.count(1)
        self._pulse = Pulse(self)
        self._teardown = Teardown(self._abandoned)
        self._ready: asyncio.Task[None] | None = None
        self._stopped: asyncio.Task[None] | None = None

    @classmethod
    async def current(cls) -> "Engine":
        """Return the engine of the running loop, and start it if necessary."""
        loop = asyncio.get_running_loop()
        engine = _engines.get(loop)
        if engine is None:
            engine = _engines[loop] = cls()
        await engine.start()
        return engine

    @classmethod
    def running(cls) -> "Engine | None":
        """Return an engine of this process whose loop is running, or None."""
        for engine in list(_engines.values()):
            if engine.loop.is_running() and not engine.is_stopped:
                return engine
        return None

    @classmethod
    def here(cls) -> "Engine | None":
        """Return the engine of the running loop, or None."""
        return _engines.get(asyncio.get_running_loop())

    async def start(self) -> None:
        """Start the engine once; concurrent calls wait for it."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_task(self._start())
        await asyncio.shield(self._ready)

    async def _start(self) -> None:
        self._teardown.start()
        self.hub.start()
        await self.hub.layer.try_identify()
        self.hub.keep(self.topic)
        self.hub.keep(EVERYONE)
        self.writer.start()
        self.presence.start()
        self.presence.rebuild()
        await asyncio.gather(self.revalidator.start(), self.tracer.start())
        self._pulse.start()
        self.reporter.start()
        on_shutdown(self.stop)

    async def stop(self) -> None:
        """Commit what is queued, close every connection, end the lease: within ten seconds."""
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopped)

    async def drain(self, seconds: float) -> None:
        """Close connections one after the other, within so many seconds; others take them over.

        New connections are no longer accepted; the open ones are served until they are closed.
        """
        self.stop_accepting()
        await self.draining.finish(seconds)

    def unregister(self) -> None:
        """Remove the engine, so that the next call on this loop makes another one, as in tests.

        A server does not call it: the stopped engine refuses connections that come late.
        """
        _engines.pop(self.loop, None)

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the loop of the engine; this may be called in any thread.

        The tasks that it starts do not inherit the context of the caller, such as a request.
        """
        self.loop.call_soon_threadsafe(function, *args, context=Context())

    def _abandoned(self) -> None:
        """Clean up in a loop that ends without `stop`: no thread may write during the next test."""
        self.unregister()
        self.db.abandon()

    async def _stop(self) -> None:
        self.is_stopping = True  # commands and connections are no longer accepted
        self.stop_accepting()
        self.draining.end()
        await self.writer.drain(DRAIN_SECONDS)
        for connection in list(self.connections.values()):
            connection.close(shutdown())
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS * 2):
                await self._empty.wait()
        self.watchdog.stop()
        self.reporter.stop()
        self.tracer.stop()
        self.writer.stop()
        self.revalidator.stop()
        await self._pulse.stop()
        await self.presence.stop()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                self.hub.publish_presence(await self.db.pulse(presence.release, self.node))
        except (DatabaseError, TimeoutError) as error:  # its lease expires by itself
            logger.warning("node %s cannot delete its rows: %r", self.node.id, error)
        await self.after.finish(DRAIN_SECONDS)
        await asyncio.gather(self.hub.stop(), self.db.stop())
        self._teardown.stop()
        self.is_stopped = True

    @property
    def takes_clients(self) -> bool:
        """Whether clients should come here: the process neither stops nor drains."""
        return not (self.is_stopping or self.draining.is_on)

    @property
    def refuses_clients(self) -> bool:
        """Whether clients that come nevertheless are told to come back later."""
        return self.is_stopping or self.draining.refuses

    @property
    def is_current(self) -> bool:
        """Whether the last renewal of the lease of this process was written."""
        return self._pulse.is_current

    # Connections.

    def new_connection(self) -> str:
        """Return the id of a new connection; it names its node, so sending needs no look-up."""
        return f"{self.node.id}.{next(self._numbers)}"

    def open(self, connection: Connection) -> None:
        """Register a connection for its topics and for presence, until it closes."""
        connection.acquire(self._on_close)
        self.connections[connection.id] = connection
        self._empty.clear()
        self.tracer.match(connection)
        connection.subscribe(self.hub.topic(self.topic))
        connection.subscribe(self.hub.topic(EVERYONE))
        connection.subscribe(self._user_topic(connection))
        self.presence.connect(connection)

    def watch(self, connection: Connection) -> None:
        """Register a connection whose socket another consumer owns, until it closes.

        It can be closed as any other, but gets no events for its user or for everyone, which its
        page may not know. It is present only where `attend` says so.
        """
        connection.acquire(self._forget)
        self.connections[connection.id] = connection
        self._empty.clear()
        self.tracer.match(connection)
        topics = self.hub.topic(self.topic), self.hub.topic(EVERYONE), self._user_topic(connection)
        for topic in topics:
            topic.watch(connection)
            connection.acquire(topic)

    def attend(self, connection: Connection, place: Place) -> None:
        """Let a connection be present in a place; a watched one gets its row for it."""
        if not self.presence.has(connection):
            if connection.phase is Phase.CLOSED:
                return
            self.presence.connect(connection)
            connection.acquire(self.presence.disconnect)
        self.presence.join(connection, place)

    def send_to_process(
        self,
        topic: str,
        note: Question | Answered | Inspect,
        sent: Callable[[bool], None] = lambda is_sent: None,
    ) -> None:
        """Send a note to the topic of one process, which may be this one; `sent` as in `Layer`."""
        if topic != self.topic:
            self.hub.layer.publish(topic, note, sent)
        elif isinstance(note, Question):
            self.questions.ask(self.connections.get(note.connection), note)
        elif isinstance(note, Inspect):
            self.reporter.receive(note)
        else:
            publisher.answers.settle(note)

    def _receive(self, note: ProcessNote) -> None:
        match note:
            case NodeChanged():
                self.draining.read_soon()
            case Trace():
                self.tracer.receive(note)
            case _:
                self.reporter.receive(note)

    def change_identity(self, connection: Connection, identity: Identity) -> None:
        """Give a connection another identity, or the same user another name."""
        connection.unsubscribe(self._user_topic(connection))
        connection.identity = identity
        connection.subscribe(self._user_topic(connection))
        self.presence.connect(connection)

    def _remove(self, connection: Connection) -> None:
        self.watchdog.finish(connection)
        self.presence.disconnect(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        del self.connections[connection.id]
        if not self.connections:
            self._empty.set()

    def _announce(self, announcement: presence.Announcement) -> None:
        self.hub.publish_presence(announcement)
        self.after.announce(announcement)

    def _user_topic(self, connection: Connection) -> Topic:
        return self.hub.topic(user_topic(connection.identity.user_id))


def _forget() -> None:
    """Forget the engines of the parent in a forked child: no loop runs there."""
    _inherited.append(dict(_engines))  # closing them would close what the parent uses
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
