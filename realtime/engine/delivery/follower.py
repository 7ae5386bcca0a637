"""Keep topics in step with their logs: drop repeats and repair gaps.

Missing events are read from the database before any later event is delivered. If the log has a
new epoch, or its missing part was purged, all members have to subscribe again. A log that was
restored to an earlier state gets a new epoch.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ...conf import config
from ...counts import counts
from ...store.logs import Changes
from ...wire.position import Order
from ..database.executor import Database
from .event import Event
from .log import Log, find_marks
from .ring import Ring, RingMemory
from .topic import AnyLogTopic, State

__all__ = ["LogFollower"]

GAP_SECONDS = 0.03
"""The time in which missing events may still arrive, before they are read from the database."""
REPAIRS_AT_ONCE = 4
PAGE = 500


class LogFollower:
    """Moves the positions of all logs of a process; no other object does.

    `spawn` runs a coroutine in a task.
    """

    def __init__(
        self, db: Database, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    ) -> None:
        self._db = db
        self._spawn = spawn
        self._rings = RingMemory(config().ring_bytes)
        self._repairs = asyncio.Semaphore(REPAIRS_AT_ONCE)

    def receive(self, topic: AnyLogTopic, event: Event, epoch: str) -> None:
        """Deliver an event of the log if it is the next one; keep it if it came early."""
        if event.seq is None:
            return
        if topic.state is not State.LIVE:
            topic.keep(event, epoch)
            return
        if epoch != topic.position.epoch and not topic.adopt(epoch):
            self.repair(topic)
            return
        match topic.position.judge(event.seq, event.first):
            case Order.NEXT:
                self._advance(topic, event)
            case Order.REPEAT if event.state and topic.ring.contradicts(event.state):
                topic.doubted = event.seq
                self.repair(topic)
            case Order.GAP:
                topic.keep(event, epoch)
                self._repair_soon(topic)

    async def load(self, topic: AnyLogTopic, states: int) -> None:
        """Start or restart a topic with the last changes in the database."""
        changes = await self._newest(topic.log, states)
        if topic.presence is not None:
            await topic.presence.load(self._db)
        floor = changes.mark.purged_seq
        if changes.has_more:
            floor = changes.states[0].position - 1 if changes.states else changes.through
        is_whole = not changes.has_more
        ring = Ring(changes.states, floor, changes.mark.purged_seq, is_whole=is_whole)
        topic.open(changes.mark, ring)
        self._rings.open(topic.name, ring)
        self._process_early(topic)

    async def catch_up(self, topic: AnyLogTopic) -> None:
        """Bring a topic to the current position of the database."""
        if topic.repair is not None:  # a running repair may have read too early
            await asyncio.shield(topic.repair)
        await asyncio.shield(self.repair(topic))

    async def catch_up_if_behind(self, topic: AnyLogTopic) -> None:
        """As `catch_up`, if the log has more or another epoch; one query compares many topics."""
        mark = await self._db.load(find_marks, topic.log)
        position = topic.position
        if mark is not None and (mark.last_seq, mark.epoch) != (position.seq, position.epoch):
            await self.catch_up(topic)

    def repair(self, topic: AnyLogTopic) -> asyncio.Task[None]:
        """Read the missing events of a topic, and return the task; one repair runs at a time."""
        if topic.repair is None:
            topic.state = State.REPAIRING
            topic.repair = self._spawn(self._repair(topic))
        return topic.repair

    async def extend_ring(self, topic: AnyLogTopic) -> None:
        """Fill a topic's ring with older changes: one query for all clients that resume."""
        if topic.extension is None:
            topic.extension = self._spawn(self._extend_ring(topic))
        await asyncio.shield(topic.extension)

    def purge(self, topic: AnyLogTopic, position: int) -> None:
        """Drop from a topic's ring what was removed from its log."""
        self._rings.purge(topic.name, position)

    def drop(self, topic: AnyLogTopic) -> None:
        """Drop the ring of a closed topic."""
        self._rings.close(topic.name)

    async def _newest(self, log: Log, states: int) -> Changes[Any]:
        if states:
            return await self._db.read(log.newest, states)
        mark = await self._db.load(find_marks, log)
        if mark is None:
            raise LookupError(f"there is no log {log.key}")
        # Nothing is known of earlier changes, which is what `has_more` says.
        return Changes([], mark.last_seq, mark, has_more=mark.last_seq > 0)

    def _is_open(self, topic: AnyLogTopic) -> bool:
        """Return whether a topic was not closed: its successor has another ring."""
        return self._rings.holds(topic.name, topic.ring)

    def _advance(self, topic: AnyLogTopic, event: Event | None) -> None:
        while event is not None and self._is_open(topic):
            topic.advance(event)
            if event.state is not None:
                self._rings.add(topic.name, event.state)
            event = topic.next_early() if topic.early else None

    def _process_early(self, topic: AnyLogTopic) -> None:
        """Deliver early events whose turn has come; if a gap remains, repair it."""
        self._advance_early(topic)
        if topic.early:
            self._repair_soon(topic)

    def _advance_early(self, topic: AnyLogTopic) -> None:
        if event := topic.next_early():
            self._advance(topic, event)

    def _repair_soon(self, topic: AnyLogTopic) -> None:
        if not topic.is_repair_due:
            topic.is_repair_due = True
            asyncio.get_running_loop().call_later(GAP_SECONDS, self._repair_if_behind, topic)

    def _repair_if_behind(self, topic: AnyLogTopic) -> None:
        topic.is_repair_due = False
        if topic.early and self._is_open(topic):
            self._advance_early(topic)
            if topic.early:
                self.repair(topic)

    async def _repair(self, topic: AnyLogTopic) -> None:
        try:
            async with self._repairs:
                early = list(topic.early)
                await self._fill(topic)
                await self._resolve_doubt(topic)
                # An event that came before the log was read, and is not in the log, is forged.
                topic.drop_early(early)
        finally:
            topic.state, topic.repair = State.LIVE, None
        self._process_early(topic)

    async def _fill(self, topic: AnyLogTopic) -> None:
        has_more, is_found = True, False
        while has_more:
            position = topic.position.seq
            changes = await self._db.read(topic.log.since, position, PAGE)
            if not self._is_open(topic):
                return
            mark = changes.mark
            is_known = mark.epoch == topic.position.epoch or topic.adopt(mark.epoch)
            if not is_known or mark.last_seq < position:
                await self._check_epoch(topic)
                return
            if position < mark.purged_seq:
                await self._restart(topic)
                return
            new = topic.advance_over(changes.states, changes.through)
            for state in new:
                self._rings.add(topic.name, state)
            has_more = changes.has_more
            counts.events_repaired += len(new)
            counts.repairs += bool(new) and not is_found
            is_found = is_found or bool(new)

    async def _extend_ring(self, topic: AnyLogTopic) -> None:
        try:
            ring, floor = topic.ring, topic.ring.floor
            if ring.free <= 0 or floor <= ring.purged_seq:
                return
            changes = await self._db.read(topic.log.older, floor, ring.free)
            mark = changes.mark
            # If the ring was replaced or has dropped changes meanwhile, this would leave a gap.
            if not self._rings.holds(topic.name, ring) or ring.floor != floor:
                return
            if mark.epoch != topic.position.epoch or mark.purged_seq > floor:
                return
            end = changes.states[0].position - 1 if changes.has_more else 0
            ring.purged_seq = max(ring.purged_seq, mark.purged_seq)
            floor, is_whole = max(end, ring.purged_seq), not changes.has_more
            self._rings.extend(topic.name, changes.states, floor, is_whole=is_whole)
        finally:
            topic.extension = None

    async def _check_epoch(self, topic: AnyLogTopic) -> None:
        """Restart if the log has a new epoch, or needs one because it ends before our position."""
        position = topic.position.seq
        mark = await self._db.read(topic.log.mark)
        if mark.epoch == topic.position.epoch:
            if mark.last_seq >= position:
                return
            await self._db.pulse(topic.log.renew_epoch, mark.epoch)
        await self._restart(topic)

    async def _resolve_doubt(self, topic: AnyLogTopic) -> None:
        """Renew the epoch if the log has something else at a position than this process.

        It was restored to an earlier state, and has grown again before the end was compared.
        """
        if topic.doubted is None:
            return
        before, topic.doubted = topic.doubted - 1, None
        changes = await self._db.read(topic.log.since, before, 1)
        known = [state for state in changes.states if state.position <= topic.position.seq]
        if changes.mark.epoch == topic.position.epoch and any(map(topic.ring.contradicts, known)):
            await self._db.pulse(topic.log.renew_epoch, topic.position.epoch)
            await self._restart(topic)

    async def _restart(self, topic: AnyLogTopic) -> None:
        """Reload a topic, and have all members subscribe again: their positions are invalid."""
        if not self._is_open(topic):
            return
        await self.load(topic, topic.open_states)
        for connection in list(topic.members.values()):
            topic.start_again(connection)
