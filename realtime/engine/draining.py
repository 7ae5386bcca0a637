"""The paced end of a process whose clients can reconnect to others at once.

A process that has to end soon closes all connections together, and spreads the reconnects by
`retry_after`. Here the closes are spread instead, so each client is away for less than a second.
"""

import asyncio
import random
import time
from collections.abc import Mapping

from ..wire.errors import CloseCode, Disconnect
from .connections.connection import Connection
from .connections.outbox import CLOSE_SECONDS
from .connections.phase import Phase
from .database.writer import Writer

__all__ = ["drain"]

LEAST_PER_SECOND = 100.0
"""The slowest pace: few connections do not need all the time."""
ROUND_SECONDS = 0.05
CHECK_SECONDS = 0.01
COMMIT_SECONDS = 2.0
"""The longest wait for what a client has sent to be committed, before it is disconnected."""


async def drain(connections: Mapping[str, Connection], writer: Writer, seconds: float) -> None:
    """Close connections at an even pace within so many seconds, and those that come meanwhile.

    What a client has sent before is committed and acknowledged; the others are served until it is
    their turn.
    """
    loop = asyncio.get_running_loop()
    pace = max(len(connections) / max(seconds, ROUND_SECONDS), LEAST_PER_SECOND)
    began, closed = loop.time(), 0
    while waiting := [one for one in connections.values() if one.phase < Phase.CLOSING]:
        due = int((loop.time() - began) * pace) + 1 - closed
        committed = loop.create_task(_commit_of(writer))
        for connection in waiting[:due]:
            connection.close(_restart(), after=committed)
        closed += due
        await asyncio.sleep(ROUND_SECONDS)
    deadline = loop.time() + COMMIT_SECONDS + 2 * CLOSE_SECONDS
    while connections and loop.time() < deadline:
        await asyncio.sleep(ROUND_SECONDS)


async def _commit_of(writer: Writer) -> None:
    """Wait for what is queued by now, and not for what comes later."""
    deadline = time.monotonic() + COMMIT_SECONDS
    jobs = list(writer.open)
    while not all(job.is_done for job in jobs) and time.monotonic() < deadline:
        await asyncio.sleep(CHECK_SECONDS)


def _restart() -> Disconnect:
    return Disconnect(CloseCode.SHUTDOWN, retry_after=round(random.uniform(0.1, 0.4), 2))  # noqa: S311
