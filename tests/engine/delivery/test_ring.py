"""The ring: recent messages of a room, answered exactly as the database would or not at all."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.delivery.ring import OVERHEAD_BYTES, Ring, RingMemory
from realtime.wire.events import MessageState


def state(key: int, seq: int, position: int | None = None, content: str = "") -> MessageState:
    return MessageState(
        id=key,
        seq=seq,
        user_id="7",
        username="ada",
        created_at="",
        content=content,
        changed_seq=None if position in (None, seq) else position,
    )


def ring(
    *states: MessageState, floor: int = 0, purged: int = 0, is_whole: bool = False
) -> Ring[MessageState]:
    return Ring(list(states), floor, purged, is_whole=is_whole)


def test_what_changed_since_comes_in_the_order_of_change() -> None:
    """A changed message moves to the end, and stands there once."""
    held = ring(state(1, 1), state(2, 2), state(3, 3))
    held.add(state(1, 1, 4))
    assert [(one.id, one.position) for one in held.since(0) or ()] == [(2, 2), (3, 3), (1, 4)]
    assert [one.id for one in held.since(3) or ()] == [1]
    assert held.since(4) == []


def test_below_the_floor_it_does_not_know() -> None:
    """None is not an empty answer."""
    held = ring(state(5, 5), floor=4)
    assert held.since(3) is None
    assert [one.id for one in held.since(4) or ()] == [5]


def test_recent_messages_come_in_the_order_of_their_place() -> None:
    """An edit does not move a message to the end of the room."""
    held = ring(state(1, 1), state(2, 2), state(3, 3))
    held.add(state(1, 1, 4))
    assert held.recent(2) == ([state(2, 2), state(3, 3)], True)
    assert held.recent(3) == ([state(1, 1, 4), state(2, 2), state(3, 3)], False)


def test_recent_messages_that_may_be_elsewhere_are_not_answered() -> None:
    """A message edited above the floor proves nothing about its older neighbours."""
    held = ring(state(9, 9), floor=8)
    held.add(state(2, 2, 10))
    assert held.recent(1) == ([state(9, 9)], True)
    assert held.recent(2) is None


@given(
    seqs=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    split=st.integers(0, 30),
    since=st.integers(0, 31),
)
def test_a_ring_that_is_extended_is_as_if_it_had_begun_there(
    seqs: list[int], split: int, since: int
) -> None:
    """Messages that changed since are newer in the ring than in what is put before it."""
    changes = [state(seq, seq, position) for position, seq in enumerate(seqs, 1)]
    split = min(split, len(changes))
    whole, late = ring(*changes), ring(*changes[split:], floor=split)
    latest = {one.id: one for one in changes}
    older = [one for one in changes[:split] if latest[one.id] is one]
    late.extend(older, 0)
    assert late.since(since) == whole.since(since)
    assert late.recent(5) == whole.recent(5)
    assert late.size == whole.size


def test_a_ring_is_not_extended_beyond_what_it_holds() -> None:
    """The oldest changes are dropped again, and the floor rises."""
    held = ring(*(state(number, number) for number in range(101, 501)), floor=100)
    assert held.free == 100
    held.extend([state(number, number) for number in range(1, 101)], 0)
    held.add(state(501, 501))
    assert (held.floor, held.since(0), len(held.since(1) or ())) == (1, None, 500)


def test_a_limit_of_zero_still_returns_whether_there_are_messages() -> None:
    """`history: 0` is answered from memory."""
    assert ring().recent(0) == ([], False)
    assert ring(state(1, 1)).recent(0) == ([], True)
    assert ring(floor=3).recent(0) == ([], True)
    assert ring(floor=3, purged=3, is_whole=True).recent(0) == ([], False)
    assert ring(floor=3, purged=3).recent(0) is None


def test_a_purged_room_has_nothing_older() -> None:
    """What was pruned is not `more`."""
    whole = ring(state(5, 5), floor=4, purged=4, is_whole=True)
    assert whole.recent(10) == ([state(5, 5)], False)


def test_a_message_that_was_changed_after_the_pruning_is_still_shown() -> None:
    """Its place is below what was removed, and it is not."""
    held = ring(state(1, 1, 3), state(4, 4), floor=2, purged=2, is_whole=True)
    held.purge(2)
    assert held.recent(10) == ([state(1, 1, 3), state(4, 4)], False)


def test_after_a_pruning_the_messages_below_its_position_are_not_known() -> None:
    """Message 1 was removed at position 4; messages 2 and 3 are younger and still there."""
    held = ring(state(2, 2), state(3, 3), state(1, 1, 4), state(5, 5), state(6, 6))
    held.purge(4)
    assert held.recent(1) == ([state(6, 6)], True)
    assert [held.recent(limit) for limit in (2, 3)] == [None, None]


class Model:
    """A room's log without any bound, as the database keeps it."""

    def __init__(self) -> None:
        self.end = self.purged = 0
        self.states: dict[int, MessageState] = {}

    def add(self) -> MessageState:
        self.end += 1
        made = self.states[self.end] = state(self.end, self.end)
        return made

    def change(self, number: int) -> MessageState | None:
        if not self.states:
            return None
        self.end += 1
        old = list(self.states.values())[number % len(self.states)]
        made = self.states[old.id] = state(old.id, old.seq, self.end)
        return made

    def prune(self, number: int) -> None:
        for seq in sorted(self.states)[:number]:
            self.purged = max(self.purged, self.states.pop(seq).position)

    def ring(self, most: int) -> Ring[MessageState]:
        newest = self.since(0)[-most:]
        is_whole = len(newest) == len(self.states)
        floor = self.purged if is_whole else newest[0].position - 1
        return ring(*newest, floor=floor, purged=self.purged, is_whole=is_whole)

    def since(self, position: int) -> list[MessageState]:
        found = [one for one in self.states.values() if one.position > position]
        return sorted(found, key=lambda one: one.position)

    def recent(self, limit: int) -> tuple[list[MessageState], bool]:
        found = sorted(self.states.values(), key=lambda one: one.seq)
        return (found[-limit:] if limit else []), len(found) > limit


def step(model: Model, held: Ring[MessageState] | None, kind: str, value: int) -> None:
    """Change the log, and the ring of a process that follows it."""
    made: MessageState | None = None
    match kind:
        case "add":
            made = model.add()
        case "change":
            made = model.change(value)
        case "prune":
            model.prune(value)
    if held is None:
        return
    if kind == "shrink":
        held.shrink()
    if made is not None:
        held.add(made)
    if model.purged > held.purged_seq:
        held.purge(model.purged)


@given(
    steps=st.lists(
        st.one_of(
            st.just(("add", 0)),
            st.tuples(st.just("change"), st.integers(0, 40)),
            st.just(("shrink", 0)),
            st.tuples(st.just("prune"), st.integers(1, 3)),
        ),
        max_size=60,
    ),
    opened_at=st.integers(0, 30),
    capacity=st.integers(1, 12),
)
def test_it_answers_as_the_database_would_or_says_that_it_cannot(
    steps: list[tuple[str, int]], opened_at: int, capacity: int
) -> None:
    """Whatever was added, changed, evicted or pruned: `since` and `recent` are the model's."""
    model = Model()
    held: Ring[MessageState] | None = None
    with patch.object(Ring, "CAPACITY", capacity):
        for number, (kind, value) in enumerate(steps):
            if number == opened_at:
                held = model.ring(5)
            step(model, held, kind, value)
        if held is None:
            return
        for position in range(model.purged, model.end + 2):
            assert held.since(position) in (None, model.since(position))
        for limit in range(len(model.states) + 2):
            assert held.recent(limit) in (None, model.recent(limit))
        assert held.since(max(held.floor, model.end)) == []


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 300)), max_size=50))
def test_its_size_is_that_of_what_it_holds(steps: list[tuple[int, int]]) -> None:
    """Replacing and evicting give back exactly what adding took."""
    held = ring()
    for position, (key, length) in enumerate(steps, 1):
        held.add(state(key, key, max(key, position), "x" * length))
    kept = dict(steps)
    assert held.size == sum(OVERHEAD_BYTES + 2 * length for length in kept.values())
    while held.shrink():
        pass
    assert held.size == 0


# All rings of a process.


def test_the_least_recently_used_room_gives_way() -> None:
    """The room that is talking keeps its ring."""
    memory = RingMemory(3 * OVERHEAD_BYTES)
    quiet, busy = ring(state(1, 1)), ring(state(2, 1))
    memory.open(1, quiet)
    memory.open(2, busy)
    for seq in (2, 3):
        memory.add(2, state(seq + 1, seq))
    assert (quiet.size, quiet.floor) == (0, 1)
    assert [one.seq for one in busy.since(0) or ()] == [1, 2, 3]
    assert quiet.since(0) is None


def test_one_room_larger_than_all_memory_keeps_only_what_fits() -> None:
    """The bound holds also for the room that is used."""
    memory = RingMemory(2 * OVERHEAD_BYTES)
    held = ring()
    memory.open(1, held)
    for seq in range(1, 6):
        memory.add(1, state(seq, seq))
    assert held.size == 2 * OVERHEAD_BYTES
    assert held.since(2) is None
    assert [one.seq for one in held.since(3) or ()] == [4, 5]


def test_a_closed_room_gives_its_memory_back() -> None:
    """Others may then use it."""
    memory = RingMemory(OVERHEAD_BYTES)
    memory.open(1, ring(state(1, 1)))
    memory.close(1)
    held = ring(state(2, 1))
    memory.open(2, held)
    assert held.size == OVERHEAD_BYTES


def test_opening_a_room_again_counts_it_once() -> None:
    """The ring of a new epoch replaces the old one."""
    memory = RingMemory(OVERHEAD_BYTES)
    memory.open(1, ring(state(1, 1)))
    held = ring(state(2, 1))
    memory.open(1, held)
    assert held.size == OVERHEAD_BYTES


def test_purged_messages_are_dropped() -> None:
    """It answers as the database does after pruning, and gives the memory back."""
    memory = RingMemory(10 * OVERHEAD_BYTES)
    held = ring(*(state(seq, seq) for seq in range(1, 6)))
    memory.open(1, held)
    memory.purge(1, 3)
    assert held.since(2) is None
    assert [one.seq for one in held.since(3) or ()] == [4, 5]
    assert held.recent(1) == ([state(5, 5)], True)
    assert held.size == 2 * OVERHEAD_BYTES
