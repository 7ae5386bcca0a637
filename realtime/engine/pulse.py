"""The periodic work of a process: renew its lease, compare positions, reap expired nodes.

It also numbers what has been pending for a while, and deletes values whose time is over.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..conf import config
from ..logs import get_logger
from ..store import presence
from ..store.database import machine
from ..store.outbox import expiry, pending
from ..store.presence import LiveNode
from .delivery.comparison import differences

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Pulse", "new_node"]

logger = get_logger("realtime.pulse")

COUNT_SECONDS = 30.0
"""The pause between two comparisons of rosters with the counts of the database."""
PROBE_SECONDS = 2.0
"""The longest time that a probe may take through the layer."""
CHECKED_AT_ONCE = 20
"""The topics without positions whose subscriptions are checked in a round."""
SETTLE_SECONDS = 1.0
"""The time an event may take to arrive, before a log that lacks it counts as behind."""
AWAY_SECONDS = 1.0
"""The longest pause between two rounds while the layer is away or a renewal has failed."""

NOT_SHARED = (
    "node %s (%s:%d) serves this database too, and no channel layer is shared: the clients of the "
    "two processes see each other's messages some seconds late, and no typing, signals or "
    "notices. Set CHANNEL_LAYERS to a Redis layer, or run one process."
)


def new_node() -> LiveNode:
    """Describe this process under a random id, which no clock or reused pid can repeat."""
    return LiveNode(
        secrets.token_hex(6),
        socket.gethostname(),
        os.getpid(),
        config().lease_seconds,
        machine.birth(),
    )


class Pulse:
    """The timer of a process.

    Each round renews the lease, reaps expired nodes, compares positions and counts with the
    database, and checks that the channel layer still delivers to this process. Work that may wait
    for locks runs beside the rounds, at most once at a time.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._renewed_since: float | None = None
        self._renewed_at = time.monotonic()
        self._is_renewed = True
        self._missed = 0
        self._reported: set[str] = set()
        self._began = self._counted_at = time.monotonic()
        self._groups_at = time.monotonic()

    def start(self) -> None:
        """Start the rounds."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop the rounds."""
        tasks = [task for task in (self._task, self._sweep) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def is_current(self) -> bool:
        """Whether the last renewal of the lease was written and the lease still runs."""
        age = time.monotonic() - self._renewed_at
        return self._is_renewed and age < self._engine.node.lease_seconds

    async def _run(self) -> None:
        await self._attempt("check other nodes", self._check_other_nodes)
        while True:
            await asyncio.sleep(self._pause())
            self._began = time.monotonic()
            self._is_renewed = await self._attempt("renew the lease", self._renew_lease)
            # The note about it may be lost.
            await self._attempt("read whether the node drains", self._engine.draining.read)
            self._engine.revalidator.tick()
            self._engine.tracer.refresh()
            self._start_sweep()
            await self._attempt("reap expired nodes", self._reap_expired)
            await self._attempt("check other nodes", self._check_other_nodes)
            await self._attempt("compare occupied rooms", self._engine.after.compare)
            await self._attempt("read the site identity", self._identify)
            await self._attempt("compare positions", self._compare)
            await self._attempt("compare presence counts", self._compare_counts)

    def _start_sweep(self) -> None:
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.get_running_loop().create_task(self._sweep_topics())

    async def _sweep_topics(self) -> None:
        await self._attempt("number pending entries", self._number_pending)
        await self._attempt("delete expired values", self._expire)

    async def _number_pending(self) -> None:
        await self._engine.db.write_blocking(pending.sweep)

    async def _expire(self) -> None:
        await self._engine.db.write_blocking(expiry.expire)

    def _pause(self) -> float:
        every = config().pulse_seconds
        if self._engine.hub.layer.is_away or self._missed or not self._is_renewed:
            every = min(every, AWAY_SECONDS)
        return max(0.0, self._began + every - time.monotonic())

    async def _attempt(self, name: str, task: Callable[[], Awaitable[None]]) -> bool:
        try:
            await task()
        except Exception as error:
            logger.warning("periodic task failed: %s: %r", name, error)
            return False
        return True

    async def _renew_lease(self) -> None:
        engine = self._engine
        is_alive = await engine.db.pulse(presence.renew, engine.node)
        self._renewed_at = time.monotonic()
        if is_alive:
            self._renewed_since = self._renewed_since or time.monotonic()
        else:
            self._renewed_since = None
            engine.presence.rebuild()

    async def _identify(self) -> None:
        await self._engine.hub.layer.identify()

    async def _compare(self) -> None:
        engine, layer = self._engine, self._engine.hub.layer
        positions, marks = await engine.db.pulse(differences, engine.hub.logs)
        engine.hub.recheck(marks)  # at once: a right that was taken must not last longer
        is_received, *_ = await asyncio.gather(
            layer.probe(engine.topic, PROBE_SECONDS),
            asyncio.sleep(SETTLE_SECONDS),
            *(layer.check(topic, PROBE_SECONDS) for topic in engine.hub.silent(CHECKED_AT_ONCE)),
        )
        is_deaf = engine.hub.compare(positions, marks)
        # One missed probe may mean a busy event loop; the next probe follows soon.
        self._missed = 0 if is_received else self._missed + 1
        if not layer.is_away:
            await self._stay_subscribed(self._missed < 2 and not is_deaf)

    async def _stay_subscribed(self, is_received: bool) -> None:
        layer = self._engine.hub.layer
        now = time.monotonic()
        if not is_received:
            self._missed = 0
            await layer.reopen()
        elif layer.is_resubscription_due or now - self._groups_at > layer.group_expiry / 4:
            await layer.resubscribe()
        else:
            return
        self._groups_at = now

    async def _reap_expired(self) -> None:
        # A node that was suspended must not reap others before its own lease is long renewed.
        since = self._renewed_since
        if since is None or time.monotonic() - since < self._engine.node.lease_seconds:
            return
        for node_id in await self._engine.db.pulse(presence.expired_nodes, self._engine.node.id):
            await self._reap(node_id, even_if_alive=False)

    async def _check_other_nodes(self) -> None:
        """Without a shared layer: reap processes that ended here, and warn about running ones."""
        if self._engine.hub.layer.is_shared:
            return
        for other in await self._engine.db.pulse(presence.other_nodes, self._engine.node.id):
            if machine.is_gone(other.pid, other.birth):
                await self._reap(other.id, even_if_alive=True)
            elif other.is_alive and other.id not in self._reported:
                self._reported.add(other.id)
                logger.warning(NOT_SHARED, other.id, other.hostname, other.pid)

    async def _reap(self, node_id: str, *, even_if_alive: bool) -> None:
        engine = self._engine
        announcement = await engine.db.pulse(_reap, node_id, engine.node, even_if_alive)
        if announcement is not None:
            logger.warning("node %s is dead: its clients leave their rooms and topics", node_id)
            engine.hub.publish_presence(announcement)
            await engine.tracer.lose(node_id)
            await engine.db.pulse(presence.delete_node, node_id, engine.node)

    async def _compare_counts(self) -> None:
        if time.monotonic() - self._counted_at < COUNT_SECONDS:
            return
        self._counted_at = time.monotonic()
        engine = self._engine
        places = [one.place for one in engine.hub.presences]
        engine.hub.correct_counts(await engine.db.pulse(presence.counts, places))


def _reap(node_id: str, me: LiveNode, even_if_alive: bool) -> presence.Announcement | None:
    return presence.reap(node_id, me, even_if_alive=even_if_alive)
