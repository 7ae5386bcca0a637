"""Rounds: what is pending goes to all members of a lane, in order, as the same bytes."""

import asyncio
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest

from harness.waiting import eventually
from realtime.counts import counts
from realtime.engine.delivery import flusher as module
from realtime.engine.delivery.event import Event
from realtime.engine.delivery.flusher import FAIR_MEMBERS, FRAME_BYTES, ROUND_EVENTS, Flusher, Lane
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, Codec, Frame
from realtime.wire.events import Notice
from tests.engine.ends import End, ticks


def event(number: int, *, exclude: str = "", text: str = "") -> Event:
    return Event(Frame.of(Notice(level=str(number), text=text)), seq=number, exclude=exclude)


def lane_of(codec: Codec, *ends: End) -> Lane:
    """A lane whose flusher has not been started."""
    lane = Lane(codec, Flusher(coalesces=codec.is_coalescing), 0)
    for end in ends:
        lane.attach(end.outbox)
    return lane


def numbers(end: End) -> list[int]:
    return [int(item["level"]) for item in end.items]


async def flush(lane: Lane) -> None:
    """Run rounds until nothing is pending, by ending the flusher."""
    await lane._flusher.stop()


@pytest.mark.parametrize(("codec", "frames"), [(JSON, 3), (NDJSON, 1), (MSGPACK, 1)])
async def test_a_round_sends_what_is_pending_in_order(codec: Codec, frames: int) -> None:
    """Where the encoding allows it, as one frame."""
    ends = [End(f"n.{number}", codec) for number in range(3)]
    lane = lane_of(codec, *ends)
    for number in (1, 2, 3):
        lane.put(event(number))
    await flush(lane)
    for end in ends:
        assert numbers(end) == [1, 2, 3]
        assert len(end.server.frames) == frames


async def test_members_of_a_lane_get_the_very_same_bytes() -> None:
    """Encoding costs nothing a member."""
    ends = [End(f"n.{number}", NDJSON) for number in range(2)]
    lane = lane_of(NDJSON, *ends)
    lane.put(event(1))
    lane.put(event(2))
    await flush(lane)
    assert ends[0].server.frames[0] is ends[1].server.frames[0]


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
async def test_an_excluded_connection_does_not_get_its_own_event(codec: Codec) -> None:
    """The others get it, and the excluded connection gets all the rest in order."""
    one, other = End("n.1", codec), End("n.2", codec)
    lane = lane_of(codec, one, other)
    for made in (event(1), event(2, exclude="n.1"), event(3), event(4, exclude="n.9")):
        lane.put(made)
    before = counts.deliveries
    await flush(lane)
    assert numbers(one) == [1, 3, 4]
    assert numbers(other) == [1, 2, 3, 4]
    assert counts.deliveries - before == 7


async def test_an_excluded_event_makes_no_empty_frame() -> None:
    """A round of excluded events only sends that member nothing at all."""
    one = End("n.1", NDJSON)
    lane = lane_of(NDJSON, one)
    lane.put(event(1, exclude="n.1"))
    await flush(lane)
    assert one.server.messages == []


# Positions.


async def test_the_position_leaves_out_what_waits() -> None:
    """It is that of the log as far as it was sent."""
    lane = lane_of(JSON, End())
    lane.put(event(1))
    assert lane.position == 0
    await flush(lane)
    assert lane.position == 1


async def test_an_event_without_members_counts_as_sent() -> None:
    """An empty lane follows the log."""
    lane = lane_of(JSON)
    lane.put(event(4))
    assert lane.position == 4


async def test_an_event_behind_one_that_waits_is_not_skipped() -> None:
    """The last member leaves while an event waits; a new member gets all later ones."""
    leaver, comer = End("n.1"), End("n.2")
    lane = lane_of(JSON, leaver)
    lane.put(event(1))
    lane.detach("n.1")
    lane.put(event(2))
    begins_at = lane.position
    lane.attach(comer.outbox)
    await flush(lane)
    assert numbers(comer) == list(range(begins_at + 1, 3))
    assert lane.position == 2
    assert numbers(leaver) == []


async def test_an_event_that_is_not_of_the_log_moves_nothing() -> None:
    """Typing has no position."""
    lane = lane_of(JSON, End())
    lane.put(event(3))
    lane.put(Event(Frame.of(Notice(level="0", text="typing"))))
    await flush(lane)
    assert lane.position == 3


async def test_moving_over_a_hole_waits_for_what_is_pending() -> None:
    """Positions without an event count as sent once all before them are."""
    lane = lane_of(JSON, End())
    lane.put(event(1))
    lane.move(5)
    assert lane.position == 0
    await flush(lane)
    lane.move(5)
    lane.move(3)
    assert lane.position == 5


async def test_a_reset_drops_what_waits() -> None:
    """A new epoch begins, and no caller waits for the old one."""
    end = End()
    lane = lane_of(JSON, end)
    lane.put(event(7))
    waiting = asyncio.ensure_future(lane.flushed())
    await ticks()
    lane.reset(2)
    await asyncio.wait_for(waiting, 10)
    await flush(lane)
    assert (lane.position, end.items) == (2, [])


async def test_a_caller_can_wait_for_the_pending_events() -> None:
    """The caller continues after the last round that it needs."""
    lane = lane_of(JSON, End())
    await asyncio.wait_for(lane.flushed(), 10)
    for number in range(ROUND_EVENTS + 1):
        lane.put(event(number + 1))
    waiting = asyncio.ensure_future(lane.flushed())
    lane.next_batch()
    await ticks()
    assert not waiting.done()
    lane.next_batch()
    await asyncio.wait_for(waiting, 10)
    assert lane.position == ROUND_EVENTS + 1


# Sizes.


async def test_a_round_of_single_frames_is_bounded() -> None:
    """A server can write so many out before the next ones come."""
    lane = lane_of(JSON, End())
    for number in range(2 * ROUND_EVENTS + 5):
        lane.put(event(number + 1))
    assert [len(lane.next_batch()) for _ in range(3)] == [ROUND_EVENTS, ROUND_EVENTS, 5]


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
@pytest.mark.parametrize("letter", ["x", "é", "😀"])
async def test_no_frame_is_larger_than_allowed(codec: Codec, letter: str) -> None:
    """Whatever the encoding and the script: bytes are counted, not characters."""
    end = End(codec=codec)
    lane = lane_of(codec, end)
    for number in range(200):
        lane.put(event(number + 1, text=letter * 4000))
    await flush(lane)
    sizes = [
        len(frame if isinstance(frame, bytes) else frame.encode()) for frame in end.server.frames
    ]
    assert max(sizes) <= FRAME_BYTES
    assert numbers(end) == list(range(1, 201))


async def test_one_event_larger_than_a_frame_goes_out_alone() -> None:
    """Nothing waits for ever."""
    end = End(codec=NDJSON)
    lane = lane_of(NDJSON, end)
    for number in (1, 2, 3):
        lane.put(event(number, text="x" * FRAME_BYTES))
    await flush(lane)
    assert len(end.server.frames) == 3


# Fairness.


async def test_a_long_round_gives_other_tasks_a_turn() -> None:
    """After so many members the loop runs something else."""
    ends = [End(f"n.{number}") for number in range(FAIR_MEMBERS + 1)]
    lane = lane_of(JSON, *ends)
    lane.put(event(1))
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(sum(bool(end.items) for end in ends)))
    await flush(lane)
    assert seen == [FAIR_MEMBERS]
    assert all(numbers(end) == [1] for end in ends)


async def test_a_member_that_leaves_during_a_round_gets_nothing_more() -> None:
    """Leaving holds at once."""
    ends = [End(f"n.{number}") for number in range(FAIR_MEMBERS + 1)]
    lane = lane_of(JSON, *ends)
    lane.put(event(1))
    asyncio.get_running_loop().call_soon(lane.detach, ends[-1].outbox.id)
    await flush(lane)
    assert ends[-1].items == []


async def test_a_member_that_comes_back_during_a_round_gets_nothing_twice() -> None:
    """Entering anew at the lane's position, it has this round's events already."""
    ends = [End(f"n.{number}") for number in range(FAIR_MEMBERS + 1)]
    lane = lane_of(JSON, *ends)
    lane.put(event(1))
    begins_at: list[int] = []

    def come_back() -> None:
        lane.detach(ends[-1].outbox.id)
        begins_at.append(lane.position)
        lane.attach(ends[-1].outbox)

    asyncio.get_running_loop().call_soon(come_back)
    await flush(lane)
    lane.put(event(2))
    await flush(lane)
    assert begins_at == [1]
    assert numbers(ends[-1]) == [2]


async def test_a_member_that_fails_stops_no_round() -> None:
    """The others get the event all the same."""
    broken, sound = End("n.1"), End("n.2")
    broken.server.error = ValueError("odd")
    lane = lane_of(JSON, broken, sound)
    lane.put(event(1))
    await flush(lane)
    assert numbers(sound) == [1]
    assert [why.code for why in broken.ends] == [4011]


async def test_a_round_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be joined is logged, and the next round runs."""
    flusher = Flusher(coalesces=False)
    bad, good = Lane(MSGPACK, flusher, 0), Lane(MSGPACK, flusher, 0)
    ends = [End("n.1", MSGPACK), End("n.2", MSGPACK)]
    bad.attach(ends[0].outbox)
    good.attach(ends[1].outbox)
    bad.put(Event(Frame("not JSON")))
    good.put(event(1))
    await flusher.stop()
    assert numbers(ends[1]) == [1]
    [line] = [record.getMessage() for record in caplog.records]
    assert "cannot be encoded" in line


# The running flusher.


async def running(*, coalesces: bool) -> Flusher:
    flusher = Flusher(coalesces=coalesces)
    flusher.start()
    await ticks()
    return flusher


@pytest.mark.parametrize("coalesces", [False, True])
async def test_an_idle_flusher_sends_at_once(
    coalesces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first event waits for no rest."""
    monkeypatch.setattr(module, "REST_SECONDS", 60)
    flusher = await running(coalesces=coalesces)
    end = End(codec=NDJSON)
    lane = Lane(NDJSON, flusher, 0)
    lane.attach(end.outbox)
    lane.put(event(1))
    await ticks(3)
    assert numbers(end) == [1]
    await flusher.stop()


async def test_what_comes_while_it_rests_goes_out_as_one_frame() -> None:
    """Under load frames become fewer and larger."""
    flusher = await running(coalesces=True)
    end = End(codec=NDJSON)
    lane = Lane(NDJSON, flusher, 0)
    lane.attach(end.outbox)
    lane.put(event(1))
    await eventually(lambda: end.items)
    for number in (2, 3, 4):
        lane.put(event(number))
    await eventually(lambda: len(end.items) == 4)
    assert [frame.count("\n") for frame in end.server.frames if isinstance(frame, str)] == [0, 2]
    await flusher.stop()


@pytest.mark.parametrize(
    ("took", "is_loaded", "rest"),
    [
        (0.0009, False, 0),
        (0.0009, True, 0),
        (0.002, False, 0.002),
        (0.002, True, 0.004),
        (0.004, True, 0.005),
        (0.1, False, 0.005),
    ],
)
def test_without_coalescing_only_long_rounds_are_followed_by_a_rest(
    took: float, is_loaded: bool, rest: float
) -> None:
    """It is bounded, and longer under load: clients get their turns meanwhile."""
    assert Flusher(coalesces=False).rest_after(took, is_loaded=is_loaded) == rest


async def test_what_comes_after_a_long_round_goes_out_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(perf_counter=partial(next, count(0, 60)))
    monkeypatch.setattr(module, "time", clock)  # each round takes a minute
    monkeypatch.setattr(module, "LONG_REST_SECONDS", 60)
    rounds: list[int] = []

    class Counted(Lane):
        def next_batch(self) -> list[Event]:
            batch = super().next_batch()
            rounds.append(len(batch))
            return batch

    flusher = await running(coalesces=False)
    end = End()
    lane = Counted(JSON, flusher, 0)
    lane.attach(end.outbox)
    lane.put(event(1))
    await eventually(lambda: end.items)
    for number in (2, 3, 4):
        lane.put(event(number))
        await ticks()
    assert numbers(end) == [1]
    await flusher.stop()
    assert (numbers(end), rounds) == ([1, 2, 3, 4], [1, 3])


async def test_stopping_sends_what_is_pending() -> None:
    """The last events are not dropped."""
    flusher = await running(coalesces=True)
    end = End(codec=NDJSON)
    lane = Lane(NDJSON, flusher, 0)
    lane.attach(end.outbox)
    lane.put(event(1))
    await flusher.stop()
    assert numbers(end) == [1]
