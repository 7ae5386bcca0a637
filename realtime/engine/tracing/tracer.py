"""The traces of a process: which of its connections they concern, and when they end.

Which users and connections are traced stands in the database. A `Trace` note makes all processes
read it again, and so does each round of the pulse.
"""

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

from ...logs import get_logger
from ...store import traces
from ...store.accounts.identity import Credential, Identity
from ...store.traces import TRACE_SECONDS, ActiveTrace
from ..bus.notes import Trace
from ..connections.connection import Connection
from .feed import Feed
from .life import LOST, Life, write

if TYPE_CHECKING:
    from ..engine import Engine

__all__ = ["Tracer"]

logger = get_logger("realtime.tracing")

START_SECONDS = 1.0
"""The longest time that the start of a process waits for the first query."""


class Tracer:
    """The traces that are on in a process, and the connections that they concern."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._feeds: dict[int, Feed] = {}
        self._over: set[int] = set()
        """Traces that have ended here, and may still stand in the database."""
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._repeats: set[int] = set()
        self._is_changed = False
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether any trace is on."""
        return bool(self._feeds)

    async def start(self) -> None:
        """Read which traces are on; if that fails, the first round of the pulse does."""
        self.refresh()
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=START_SECONDS)

    def stop(self) -> None:
        """End all traces in this process, after its connections; other processes go on."""
        if self._reading is not None:
            self._reading.cancel()
        for trace in list(self._feeds):
            self._close(trace, goes_on=True)

    def receive(self, note: Trace) -> None:
        """Read which traces are on; publish the kept lines of one again if the note names it."""
        if note.repeat:
            self._repeats.add(note.repeat)
        self.refresh()

    def refresh(self) -> None:
        """Read which traces are on, once for all calls that come meanwhile."""
        self._is_changed = True
        if self._engine.is_stopping or (self._reading is not None and not self._reading.done()):
            return
        # In an empty context, because it belongs to no connection.
        self._reading = self._engine.loop.create_task(self._read(), context=Context())

    async def _read(self) -> None:
        while self._is_changed:
            self._is_changed = False
            try:
                found = await self._engine.db.read(traces.active)
                if lost := [one.pk for one in found if not one.is_permitted]:
                    await self._engine.db.pulse(traces.end, lost)
            except Exception as error:  # of the database, or of the site's own permissions
                logger.warning("the traces cannot be read, and are read again later: %r", error)
                return
            self._apply([one for one in found if one.is_permitted])

    def _apply(self, found: list[ActiveTrace]) -> None:
        before = set(self._feeds)
        self._over &= {one.pk for one in found}
        for trace in before - {one.pk for one in found}:
            self._close(trace)
        for one in found:
            if one.pk not in self._feeds and one.pk not in self._over:
                self._open(one)
        if before != set(self._feeds):
            self._match_all()
        while self._repeats:
            if feed := self._feeds.get(self._repeats.pop()):
                feed.repeat()

    def _open(self, one: ActiveTrace) -> None:
        # The time that is left is never longer, whatever the clock of the database does.
        until = self._engine.loop.time() + min(one.seconds, TRACE_SECONDS)
        self._feeds[one.pk] = Feed(one, self._engine.node.id, self._engine.hub.publish)
        self._timers[one.pk] = self._engine.loop.call_at(until, self._expire, one.pk)

    def _expire(self, trace: int) -> None:
        self._over.add(trace)
        self._close(trace)
        self._match_all()

    def _close(self, trace: int, *, goes_on: bool = False) -> None:
        self._timers.pop(trace).cancel()
        self._feeds.pop(trace).close(goes_on=goes_on)

    # Connections.

    def identify(self, connection: Connection, identity: Identity, credential: Credential) -> None:
        """Tell the traces of a connection which user it is, before it is known to be admitted."""
        if not self._feeds and connection.trace is None:
            return
        new = self._attach(connection, identity.user_id)
        if (life := connection.trace) is not None:
            introduce = life.found if self._is_open(connection) else life.begin
            introduce(new)
            life.identified(identity, credential)

    def match(self, connection: Connection) -> None:
        """Trace a connection that has been opened, if it concerns a trace."""
        if not self._feeds and connection.trace is None:
            return
        new = self._attach(connection, connection.identity.user_id)
        if connection.trace is not None and new:
            connection.trace.found(new)

    def _match_all(self) -> None:
        for connection in list(self._engine.connections.values()):
            self.match(connection)

    def _attach(self, connection: Connection, user_id: str) -> list[Feed]:
        """Give a connection the traces that concern it; return those that are new to it."""
        feeds = [one for one in self._feeds.values() if one.concerns(connection.id, user_id)]
        life = connection.trace
        known = [] if life is None else life.feeds
        if life is not None:
            life.leave([one for one in known if one not in feeds])
        if not feeds:
            connection.trace = connection.outbox.trace = None
            return []
        if life is None:
            life = connection.trace = connection.outbox.trace = Life(connection)
        life.feeds = feeds
        return [one for one in feeds if one not in known]

    def _is_open(self, connection: Connection) -> bool:
        return connection.id in self._engine.connections

    async def lose(self, node: str) -> None:
        """Tell the traces of the connections of a process that has died with them."""
        users = [one.subject for one in self._feeds.values()]
        if not users:
            return
        for connection, user_id in await self._engine.db.pulse(traces.connections, node, users):
            feeds = [one for one in self._feeds.values() if one.concerns(connection, user_id)]
            values = {"connection": connection, "code": LOST, "reason": "node_lost"}
            write("end", [one for one in feeds if one.admit()], values)
