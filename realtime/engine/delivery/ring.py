"""Keep recent changes of open logs in memory, so that a reconnect storm needs no queries.

A ring holds states, not frames: one for each message, event or key, in the order of the last
change. It answers exactly as the database would, or says that it cannot.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from ...wire.events import MessageState
from ...wire.position import LogState

__all__ = ["Ring", "RingMemory"]

S = TypeVar("S", bound=LogState)

OVERHEAD_BYTES = 600
"""The memory of a state without its text."""


class Ring(Generic[S]):
    """The last changes of one log; complete for positions above `floor`."""

    CAPACITY = 500

    __slots__ = ("_states", "floor", "is_whole", "purged_seq", "size")

    def __init__(
        self, states: list[S], floor: int, purged_seq: int, *, is_whole: bool = False
    ) -> None:
        self._states: OrderedDict[Hashable, S] = OrderedDict()
        self.floor = floor
        self.purged_seq = purged_seq
        self.size = 0
        self.is_whole = is_whole or floor == 0
        """Whether it has all that is stored, also what lies below the purged position."""
        for state in states:
            self.add(state)

    def add(self, state: S) -> None:
        """Add the newest state under an id, and drop the earlier one."""
        if old := self._states.pop(state.id, None):
            self.size -= _size(old)
        self._states[state.id] = state
        self.size += _size(state)
        if len(self._states) > self.CAPACITY:
            self.shrink()

    def extend(self, older: list[S], floor: int, *, is_whole: bool = False) -> None:
        """Add older changes before the rest; the ring is complete above the new floor."""
        before = {state.id: state for state in older if state.id not in self._states}
        self._states = OrderedDict({**before, **self._states})
        self.size += sum(map(_size, before.values()))
        self.floor = floor
        self.is_whole = is_whole or floor == 0
        while len(self._states) > self.CAPACITY:
            self.shrink()

    @property
    def free(self) -> int:
        """The number of states that the ring can still hold."""
        return self.CAPACITY - len(self._states)

    def shrink(self) -> bool:
        """Drop the oldest change; return False if there is none."""
        if not self._states:
            return False
        _, old = self._states.popitem(last=False)
        self.size -= _size(old)
        self.floor = max(self.floor, old.position)
        self.is_whole = False
        return True

    def purge(self, position: int) -> None:
        """Drop the changes up to a position, some of which the database has removed.

        Others are still there: an old message that was changed lately is removed before them.
        """
        while self._states and next(iter(self._states.values())).position <= position:
            self.shrink()
        self.floor = max(self.floor, position)
        self.purged_seq = position

    def since(self, position: int) -> list[S] | None:
        """Return the changes after `position`, oldest first; None if the ring lacks some."""
        if position < self.floor:
            return None
        newer = []
        for state in reversed(self._states.values()):
            if state.position <= position:
                break
            newer.append(state)
        newer.reverse()
        return newer

    def contradicts(self, state: S) -> bool:
        """Return whether a state up to the end of the ring is of another history of the log."""
        if state.position <= self.floor:
            return False
        known = self._states.get(state.id)
        if known is None or known.position < state.position:
            return True
        return known.position == state.position and known.origin != state.origin

    def recent(self: "Ring[MessageState]", limit: int) -> tuple[list[MessageState], bool] | None:
        """Return the newest `limit` messages, and whether there are more; None if unknown."""
        # A message with a `seq` above the floor has also changed above it, so the ring has it.
        found = sorted(
            (state for state in self._states.values() if self.is_whole or state.seq > self.floor),
            key=lambda state: state.seq,
        )
        if len(found) > limit:
            return found[len(found) - limit :], True
        if self.is_whole:
            return found, False
        # Between the purged position and the floor lie changes, but below it there may be none.
        has_older = self.floor > self.purged_seq
        return (found, True) if has_older and len(found) == limit else None


class RingMemory:
    """Bounds the bytes of all rings of a process; the least recently used log shrinks first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._rings: dict[str, Ring[Any]] = {}
        self._filled: OrderedDict[str, Ring[Any]] = OrderedDict()
        """The rings that are not empty, the least recently used first."""

    def open(self, key: str, ring: Ring[Any]) -> None:
        """Add the ring of a log, in place of its earlier one."""
        self.close(key)
        self._rings[key] = ring
        self._resized(key, ring, 0)

    def holds(self, key: str, ring: Ring[Any]) -> bool:
        """Return whether this is the current ring of an open log."""
        return self._rings.get(key) is ring

    def add(self, key: str, state: LogState) -> None:
        """Add a state to the ring of a log."""
        ring = self._rings[key]
        before = ring.size
        ring.add(state)
        self._resized(key, ring, before)

    def extend(self, key: str, older: list[Any], floor: int, *, is_whole: bool) -> None:
        """Add older changes to the ring of a log."""
        ring = self._rings[key]
        before = ring.size
        ring.extend(older, floor, is_whole=is_whole)
        self._resized(key, ring, before)

    def purge(self, key: str, position: int) -> None:
        """Drop from a ring what was removed from its log."""
        ring = self._rings[key]
        before = ring.size
        ring.purge(position)
        self._size += ring.size - before

    def close(self, key: str) -> None:
        """Drop the ring of a log."""
        ring = self._rings.pop(key, None)
        if ring is not None:
            self._size -= ring.size
            self._filled.pop(key, None)

    def _resized(self, key: str, ring: Ring[Any], before: int) -> None:
        """Count what a ring has grown, and make space for it."""
        self._size += ring.size - before
        if ring.size:
            self._filled[key] = ring
            self._filled.move_to_end(key)
        while self._size > self._limit and self._filled:
            self._shrink_oldest()

    def _shrink_oldest(self) -> None:
        key, ring = next(iter(self._filled.items()))
        before = ring.size
        ring.shrink()
        self._size += ring.size - before
        if not ring.size:  # there may be many such rings: they are not looked at again
            del self._filled[key]


def _size(state: LogState) -> int:
    return OVERHEAD_BYTES + state.memory_size
