"""Positions: what an event means to somebody who stands somewhere in the log."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.wire.position import Order, Position


@pytest.mark.parametrize(
    ("seq", "first", "verdict"),
    [
        (6, None, Order.NEXT),
        (5, None, Order.REPEAT),
        (1, None, Order.REPEAT),
        (7, None, Order.GAP),
        (9, 6, Order.NEXT),
        (9, 3, Order.NEXT),
        (9, 7, Order.GAP),
        (5, 2, Order.REPEAT),
        (2**53, 6, Order.NEXT),
    ],
)
def test_an_event_is_judged_by_what_it_covers(seq: int, first: int | None, verdict: Order) -> None:
    assert Position(5, "e").judge(seq, first) is verdict


def test_a_new_position_waits_for_the_first_event() -> None:
    assert Position().judge(1) is Order.NEXT
    assert Position().judge(2) is Order.GAP


def test_judging_moves_nothing() -> None:
    position = Position(5)
    position.judge(6)
    assert position.seq == 5


def test_a_position_never_goes_back() -> None:
    position = Position(5, "e")
    position.advance(9)
    position.advance(7)
    assert (position.seq, position.epoch) == (9, "e")


def test_another_epoch_starts_again() -> None:
    position = Position(5, "old")
    position.reset(2, "new")
    assert (position.seq, position.epoch) == (2, "new")
    assert position.judge(3) is Order.NEXT


@given(
    changes=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    seed=st.integers(),
    loss=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_whatever_is_lost_or_repeated_every_state_is_taken_in_order(
    changes: list[int], seed: int, loss: float
) -> None:
    """A log where each entry supersedes an earlier one of the same message; a gap is read again."""
    dice = random.Random(seed)
    log = list(enumerate(changes, start=1))
    latest = {message: seq for seq, message in log}
    position, taken = Position(), []
    for seq, message in [*log, log[-1]]:
        events = [(seq, message)] * dice.choice([1, 1, 2])
        for event in events if dice.random() >= loss else []:
            verdict = position.judge(event[0])
            if verdict is Order.GAP:
                rows = sorted((at, who) for who, at in _state(log, seq).items())
                missed = [row for row in rows if row[0] > position.seq]
            else:
                missed = [event] if verdict is Order.NEXT else []
            for at, who in missed:
                taken.append((at, who))
                position.advance(at)
    assert [at for at, _ in taken] == sorted({at for at, _ in taken})
    seen = {who: at for at, who in taken}
    assert all(seen.get(who) == at for who, at in latest.items() if at <= position.seq)


def _state(log: list[tuple[int, int]], end: int) -> dict[int, int]:
    return {message: seq for seq, message in log if seq <= end}
