"""Write rows of connections and presences in the background; no message waits for them."""

import asyncio
from collections.abc import Callable

from django.db import IntegrityError

from ...conf import config
from ...logs import get_logger
from ...models import Connection as ConnectionRow
from ...models import Presence
from ...store import presence
from ...store.moderation import names
from ...store.presence import Announcement, Batch, LiveNode, Place, new_presence
from ..database.executor import Database
from .connection import Connection

__all__ = ["PresenceWriter"]

logger = get_logger("realtime.presence")

GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0


class PresenceWriter:
    """The live connections and presences of this node, and the changes still to be written.

    `announce` is called with the users who joined and left places, after the commit, and
    `drain_seconds` for the state of a node whose row was deleted meanwhile.
    """

    def __init__(
        self,
        node: LiveNode,
        db: Database,
        announce: Callable[[Announcement], None],
        drain_seconds: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._node = node
        self._db = db
        self._announce = announce
        self._drain_seconds = drain_seconds
        self._connections: dict[str, ConnectionRow] = {}
        self._presences: dict[tuple[str, Place], Presence] = {}
        self._places: dict[str, set[Place]] = {}
        self._batch = Batch(node.id)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lost = False

    def start(self) -> None:
        """Start to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop; `presence.release` deletes the remaining rows of the node."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def is_idle(self) -> bool:
        """Whether no join or leave waits to be written."""
        return not self._wake.is_set()

    def connect(self, connection: Connection) -> None:
        """Write an open connection, or its new identity."""
        identity = connection.identity
        row = ConnectionRow(
            id=connection.id,
            node_id=self._node.id,
            user_id=identity.user_pk,
            user_key=identity.user_id,
            username=identity.username,
            look=names.look_of_guest(identity),
            address=connection.peer_address,
        )
        self._connections[connection.id] = self._batch.connections[connection.id] = row
        self._wake.set()

    def has(self, connection: Connection) -> bool:
        """Return whether a connection has a row, or will have one."""
        return connection.id in self._connections

    def join(self, connection: Connection, place: Place) -> None:
        """Add a connection to a place."""
        key = connection.id, place
        owner = self._connections.get(connection.id)
        if key in self._presences or owner is None:
            return
        self._places.setdefault(connection.id, set()).add(place)
        row = new_presence(owner, place)
        self._presences[key] = self._batch.presences[key] = row
        self._wake.set()

    def leave(self, connection: Connection, place: Place) -> None:
        """Remove a connection from a place that it has left itself: announce that at once."""
        key = connection.id, place
        if self._presences.pop(key, None) is None:
            return
        self._places[connection.id].discard(place)
        if self._batch.presences.pop(key, None) is None:
            self._batch.left.append(key)
        self._wake.set()

    def disconnect(self, connection: Connection) -> None:
        """Remove a closed connection after a grace, so that a reload is no leave and join."""
        # Only the name is kept for so long, not the connection.
        asyncio.get_running_loop().call_later(
            config().presence_grace_seconds, self._close, connection.id
        )

    def rebuild(self) -> None:
        """Write all rows again, because another node has reaped this one."""
        self._lost = True
        self._wake.set()

    def _close(self, connection_id: str) -> None:
        if self._connections.pop(connection_id, None) is None:
            return
        for place in self._places.pop(connection_id, ()):
            self._presences.pop((connection_id, place), None)
            self._batch.presences.pop((connection_id, place), None)
        self._batch.connections.pop(connection_id, None)
        # Also if the row was not written yet: a batch with it may be in progress.
        self._batch.closed.append(connection_id)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            batch, self._batch = self._batch, Batch(self._node.id)
            await self._write(batch)

    async def _write(self, batch: Batch) -> None:
        try:
            if self._lost:
                announcement = await self._write_all()
            elif batch:
                announcement = await self._db.pulse(presence.apply, batch)
            else:
                return
        except Exception as error:
            # The database is away, or another node has reaped this one: in both cases all rows are
            # written as soon as that works.
            if not isinstance(error, IntegrityError):
                logger.warning("presence cannot be written: %r", error)
            self._lost = True
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)
            return
        try:
            self._announce(announcement)
        except Exception:
            logger.exception("joins and leaves cannot be announced")

    async def _write_all(self) -> Announcement:
        self._lost = False
        self._batch = Batch(self._node.id)
        rows = list(self._presences.values())
        for row in rows:
            row.pk = None
            row._state.adding = True
        return await self._db.pulse(
            presence.rebuild,
            self._node,
            list(self._connections.values()),
            rows,
            self._drain_seconds(),
        )
