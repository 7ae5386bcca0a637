"""Recent messages of the rooms that are open here: a reconnect storm asks no database.

A ring holds states, not frames: one entry a message, in the order of the last change. It
answers exactly as the database would, or says that it cannot.
"""

from collections import OrderedDict

from ...wire.body import memory_size
from ...wire.events import MessageState

__all__ = ["Ring", "RingMemory"]

OVERHEAD_BYTES = 600
"""What a state costs beside its text."""


class Ring:
    """The last changes of one room; complete for positions above `floor`."""

    CAPACITY = 500

    __slots__ = ("_states", "floor", "purged_seq", "size")

    def __init__(self, states: list[MessageState], floor: int, purged_seq: int) -> None:
        self._states: OrderedDict[int, MessageState] = OrderedDict()
        self.floor = floor
        self.purged_seq = purged_seq
        self.size = 0
        for state in states:
            self.add(state)

    def add(self, state: MessageState) -> None:
        """Take the newest state; the message's earlier one is forgotten."""
        if old := self._states.pop(state.id, None):
            self.size -= _size(old)
        self._states[state.id] = state
        self.size += _size(state)
        if len(self._states) > self.CAPACITY:
            self.shrink()

    def extend(self, older: list[MessageState], floor: int) -> None:
        """Put what changed up to the floor before the rest; complete above another floor now."""
        before = {state.id: state for state in older if state.id not in self._states}
        self._states = OrderedDict({**before, **self._states})
        self.size += sum(map(_size, before.values()))
        self.floor = floor
        while len(self._states) > self.CAPACITY:
            self.shrink()

    @property
    def free(self) -> int:
        """How many more states it can hold."""
        return self.CAPACITY - len(self._states)

    def shrink(self) -> bool:
        """Forget the oldest change; False where there is none."""
        if not self._states:
            return False
        _, old = self._states.popitem(last=False)
        self.size -= _size(old)
        self.floor = max(self.floor, old.position)
        return True

    def purge(self, position: int) -> None:
        """Forget what the database has removed, up to a position."""
        while self._states and next(iter(self._states.values())).position <= position:
            self.shrink()
        self.floor = max(self.floor, position)
        self.purged_seq = position

    def since(self, position: int) -> list[MessageState] | None:
        """What changed after `position`, oldest change first; None where it is not all here."""
        if position < self.floor:
            return None
        newer = []
        for state in reversed(self._states.values()):
            if state.position <= position:
                break
            newer.append(state)
        newer.reverse()
        return newer

    def recent(self, limit: int) -> tuple[list[MessageState], bool] | None:
        """The newest `limit` messages by place, and whether there are more; None if unknown."""
        if limit == 0:
            return [], bool(self._states) or self.floor > self.purged_seq
        has_older = self.floor > self.purged_seq
        # Every message with a place above the floor has changed above it, so it is here. Where
        # nothing lies between what was purged and the floor, all there are have.
        found = sorted(
            (state for state in self._states.values() if state.seq > self.floor or not has_older),
            key=lambda state: state.seq,
        )
        if len(found) < limit and has_older:
            return None
        return found[-limit:], has_older or len(found) > limit


class RingMemory:
    """Keeps all rings of a process below a number of bytes, least recently used rooms first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._rings: OrderedDict[int, Ring] = OrderedDict()

    def open(self, room_id: int, ring: Ring) -> None:
        """Account for a room's ring."""
        self.close(room_id)
        self._rings[room_id] = ring
        self._size += ring.size
        self._shrink()

    def holds(self, room_id: int, ring: Ring) -> bool:
        """Whether this is the ring of an open room."""
        return self._rings.get(room_id) is ring

    def add(self, room_id: int, state: MessageState) -> None:
        """Add a state to a room's ring."""
        ring = self._rings[room_id]
        before = ring.size
        ring.add(state)
        self._size += ring.size - before
        self._rings.move_to_end(room_id)
        self._shrink()

    def extend(self, room_id: int, older: list[MessageState], floor: int) -> None:
        """Have a room's ring begin earlier."""
        ring = self._rings[room_id]
        before = ring.size
        ring.extend(older, floor)
        self._size += ring.size - before
        self._shrink()

    def purge(self, room_id: int, position: int) -> None:
        """Forget what was removed from a room's log."""
        ring = self._rings[room_id]
        before = ring.size
        ring.purge(position)
        self._size += ring.size - before

    def close(self, room_id: int) -> None:
        """Forget a room."""
        ring = self._rings.pop(room_id, None)
        if ring is not None:
            self._size -= ring.size

    def _shrink(self) -> None:
        while self._size > self._limit:
            ring = next((ring for ring in self._rings.values() if ring.size), None)
            if ring is None:
                return
            before = ring.size
            ring.shrink()
            self._size += ring.size - before


def _size(state: MessageState) -> int:
    return OVERHEAD_BYTES + memory_size(state)
