"""The paced end of the connections of a process, whose clients reconnect to others at once.

A process that has to end soon closes all connections together, and spreads the reconnects by
`retry_after`. Here the closes are spread instead, so each client is away for less than a second.
A process drains before it is replaced, or because an administrator says so in the row of its node.
"""

import asyncio
import random
import time
from collections.abc import Mapping

from ..logs import get_logger
from ..store import draining
from ..wire.errors import CloseCode, Disconnect
from .connections.connection import Connection
from .connections.outbox import CLOSE_SECONDS
from .connections.phase import Phase
from .database.executor import Database
from .database.writer import Writer

__all__ = ["Draining"]

logger = get_logger("realtime.draining")

LEAST_PER_SECOND = 100.0
"""The slowest pace: few connections do not need all the time."""
ROUND_SECONDS = 0.05
CHECK_SECONDS = 0.01
COMMIT_SECONDS = 2.0
"""The longest wait for what a client has sent to be committed, before it is disconnected."""


class Draining:
    """Whether a process moves its clients away, and the closes of their connections.

    What a client has sent before is committed and acknowledged; the others are served until it is
    their turn.
    """

    def __init__(
        self, node: str, db: Database, connections: Mapping[str, Connection], writer: Writer
    ) -> None:
        self.seconds: int | None = None
        """What the row of the node says, as it was read last."""
        self._node = node
        self._db = db
        self._connections = connections
        self._writer = writer
        self._closing: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        """Held while the row is read, so that a later answer is obeyed later."""
        self._is_final = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_on(self) -> bool:
        """Whether the process drains."""
        return self._closing is not None

    @property
    def refuses(self) -> bool:
        """Whether new clients are refused.

        A process that is replaced listens no more. The few whose handshake was on its way are
        served, and told to come back like all others: no client fails to connect.
        """
        return self.is_on and not self._is_final

    def start(self, seconds: float) -> None:
        """Close connections at an even pace within so many seconds, and those that come later."""
        self.stop()
        self._closing = asyncio.get_running_loop().create_task(self._close_all(seconds))

    def stop(self) -> None:
        """Close no more connections."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def end(self) -> None:
        """Stop for good, because the process closes all connections itself."""
        self._is_final = True
        self.stop()

    async def finish(self, seconds: float) -> None:
        """Drain before the process ends; wait until no connection is left."""
        self._is_final = True
        self.start(seconds)
        while any(one.phase < Phase.CLOSING for one in self._connections.values()):
            await asyncio.sleep(ROUND_SECONDS)
        deadline = time.monotonic() + COMMIT_SECONDS + 2 * CLOSE_SECONDS
        while self._connections and time.monotonic() < deadline:
            await asyncio.sleep(ROUND_SECONDS)

    def read_soon(self) -> None:
        """Read the row of the node in the background; after a failure, the pulse reads it."""
        task = asyncio.get_running_loop().create_task(self._try_to_read())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def read(self) -> None:
        """Read the row of the node, and drain or serve again as it says.

        A node without a row, which another process has removed, goes on as before.
        """
        async with self._reading:
            found = await self._db.read(draining.state_of, self._node)
            if found is not None and not self._is_final:
                self._follow(found.drain_seconds)

    async def _try_to_read(self) -> None:
        try:
            await self.read()
        except Exception as error:
            logger.warning("node %s cannot read its row: %r", self._node, error)

    def _follow(self, seconds: int | None) -> None:
        if seconds == self.seconds:
            return
        self.seconds = seconds
        if seconds is None:
            logger.info("node %s serves again", self._node)
            self.stop()
        else:
            logger.info("node %s drains over %d seconds", self._node, seconds)
            self.start(seconds)

    async def _close_all(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        pace = max(len(self._connections) / max(seconds, ROUND_SECONDS), LEAST_PER_SECOND)
        began, closed = loop.time(), 0
        while True:
            waiting = [one for one in self._connections.values() if one.phase < Phase.CLOSING]
            due = waiting[: max(0, int((loop.time() - began) * pace) + 1 - closed)]
            if due:
                committed = loop.create_task(self._commit())
                for connection in due:
                    connection.close(_restart(), after=committed)
                closed += len(due)
            await asyncio.sleep(ROUND_SECONDS)

    async def _commit(self) -> None:
        """Wait for what is queued by now to be committed, and not for what comes later."""
        deadline = time.monotonic() + COMMIT_SECONDS
        jobs = list(self._writer.open)
        while not all(job.is_done for job in jobs) and time.monotonic() < deadline:
            await asyncio.sleep(CHECK_SECONDS)


def _restart() -> Disconnect:
    return Disconnect(CloseCode.SHUTDOWN, retry_after=round(random.uniform(0.1, 0.4), 2))  # noqa: S311
