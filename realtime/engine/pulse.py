"""This process among the others: its lease, its pulse, and the burial of the dead."""

import asyncio
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

from ..conf import config
from ..logs import get_logger
from ..store import presence
from ..store.database import machine
from ..store.messages import history
from ..store.presence import LiveNode

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Pulse", "new_node"]

logger = get_logger("realtime.pulse")

COUNT_SECONDS = 30.0
"""How often rosters are compared with what the database counts."""
PROBE_SECONDS = 2.0
"""How long a note to ourselves may take through the layer."""
SETTLE_SECONDS = 1.0
"""How long an event may be on its way before a room that lacks it counts as behind."""
AWAY_SECONDS = 1.0
"""How often positions are compared while the layer is away, and a failed renewal is repeated."""

NOT_SHARED = (
    "node %s (%s:%d) serves this database too, and no channel layer is shared: the clients of the "
    "two processes see each other's messages some seconds late, and no typing, signals or "
    "notices. Set CHANNEL_LAYERS to a Redis layer, or run one process."
)


def new_node() -> LiveNode:
    """A name for this process; random, so that a host's clock or a reused pid cannot clash."""
    return LiveNode(
        secrets.token_hex(6),
        socket.gethostname(),
        os.getpid(),
        config().lease_seconds,
        machine.birth(),
    )


class Pulse:
    """The timer of a process: lease, positions, identity, deafness, the dead, drifted counts."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None
        self._renewed_since: float | None = None
        self._renewed_at = time.monotonic()
        self._is_renewed = True
        self._missed = 0
        self._reported: set[str] = set()
        self._began = self._counted_at = time.monotonic()
        self._groups_at = time.monotonic()

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def is_current(self) -> bool:
        """Whether the last renewal of the lease was written and the lease still runs."""
        age = time.monotonic() - self._renewed_at
        return self._is_renewed and age < self._engine.node.lease_seconds

    async def _run(self) -> None:
        await self._attempt(self._check_other_nodes)
        while True:
            await asyncio.sleep(self._pause())
            self._began = time.monotonic()
            self._is_renewed = await self._attempt(self._renew)
            self._engine.revalidator.tick()
            await self._attempt(self._reap_expired)
            await self._attempt(self._check_other_nodes)
            await self._attempt(self._identify)
            await self._attempt(self._compare)
            await self._attempt(self._count)

    def _pause(self) -> float:
        every = config().pulse_seconds
        if self._engine.hub.layer.is_away or self._missed or not self._is_renewed:
            every = min(every, AWAY_SECONDS)
        return max(0.0, self._began + every - time.monotonic())

    async def _attempt(self, beat) -> bool:  # type: ignore[no-untyped-def]
        try:
            await beat()
        except Exception as error:
            logger.warning("the pulse cannot %s: %r", beat.__name__.strip("_"), error)
            return False
        return True

    async def _renew(self) -> None:
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
        positions = engine.hub.positions()
        marks = await engine.db.pulse(history.marks, positions)
        is_heard, _ = await asyncio.gather(
            layer.probe(engine.topic, PROBE_SECONDS), asyncio.sleep(SETTLE_SECONDS)
        )
        is_deaf = engine.hub.compare(positions, marks)
        engine.hub.recheck(marks)
        # One missed probe may be a busy loop; the next one comes soon.
        self._missed = 0 if is_heard else self._missed + 1
        if not layer.is_away:
            await self._stay_subscribed(self._missed < 2 and not is_deaf)

    async def _stay_subscribed(self, is_heard: bool) -> None:
        layer = self._engine.hub.layer
        now = time.monotonic()
        if not is_heard:
            self._missed = 0
            await layer.reopen()
        elif layer.is_resubscription_due or now - self._groups_at > layer.group_expiry / 4:
            await layer.resubscribe()
        else:
            return
        self._groups_at = now

    async def _reap_expired(self) -> None:
        # A node that was away itself must not take others for dead before it has caught up.
        since = self._renewed_since
        if since is None or time.monotonic() - since < self._engine.node.lease_seconds:
            return
        for dead in await self._engine.db.pulse(presence.expired_nodes, self._engine.node.id):
            await self._reap(dead, False)

    async def _check_other_nodes(self) -> None:
        """Without a shared layer: bury processes that have ended here, warn of those that live."""
        if self._engine.hub.layer.is_shared:
            return
        for other in await self._engine.db.pulse(presence.other_nodes, self._engine.node.id):
            if machine.is_gone(other.pid, other.birth):
                await self._reap(other.id, True)
            elif other.is_alive and other.id not in self._reported:
                self._reported.add(other.id)
                logger.warning(NOT_SHARED, other.id, other.hostname, other.pid)

    async def _reap(self, dead: str, even_if_alive: bool) -> None:
        engine = self._engine
        announcement = await engine.db.pulse(_reap, dead, engine.node, even_if_alive)
        if announcement is not None:
            logger.warning("node %s is dead", dead)
            engine.hub.publish_presence(announcement)
            await engine.db.pulse(presence.delete_node, dead, engine.node)

    async def _count(self) -> None:
        if time.monotonic() - self._counted_at < COUNT_SECONDS:
            return
        self._counted_at = time.monotonic()
        engine = self._engine
        rooms = list(engine.hub.positions())
        engine.hub.correct_counts(await engine.db.pulse(presence.counts, rooms))


def _reap(dead: str, me: LiveNode, even_if_alive: bool) -> presence.Announcement | None:
    return presence.reap(dead, me, even_if_alive=even_if_alive)
