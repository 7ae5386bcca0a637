"""The token bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.wire.ratelimit import Bucket


def test_a_burst_passes_and_the_next_one_waits() -> None:
    bucket = Bucket(rate=10, burst=3, now=100)
    assert [bucket.spend(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.spend(100) == pytest.approx(0.1)


def test_the_told_wait_is_enough() -> None:
    bucket = Bucket(rate=3, burst=1, now=0)
    bucket.spend(0)
    wait = bucket.spend(0)
    assert bucket.spend(wait) == 0


def test_a_refused_try_costs_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=0)
    bucket.spend(0)
    assert [bucket.spend(0.5) for _ in range(5)] == [pytest.approx(0.5)] * 5
    assert bucket.spend(1) == 0


def test_waiting_long_saves_no_more_than_the_burst() -> None:
    bucket = Bucket(rate=10, burst=2, now=0)
    assert [bucket.spend(1e6) for _ in range(3)] == [0, 0, pytest.approx(0.1)]


def test_a_large_amount_is_taken_at_once_or_not_at_all() -> None:
    bucket = Bucket(rate=1, burst=5, now=0)
    assert bucket.spend(0, 4) == 0
    assert bucket.spend(0, 4) == pytest.approx(3)
    assert bucket.spend(0, 1) == 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket(rate=10, burst=1, now=100)
    bucket.spend(100)
    assert bucket.spend(0) > 0


def test_a_bucket_is_full_once_nothing_was_taken_for_a_while() -> None:
    bucket = Bucket(rate=2, burst=4, now=0)
    assert bucket.is_full(0)
    bucket.spend(0, 3)
    assert not bucket.is_full(1.4)
    assert bucket.is_full(1.5)


def test_a_debt_is_made_at_once_and_waited_for_by_the_next() -> None:
    bucket = Bucket(rate=2, burst=4, now=0)
    assert bucket.owe(0, 4) == 0
    assert bucket.owe(0, 3) == 0
    assert bucket.owe(0, 1) == 1.5
    assert bucket.owe(1, 1) == 1
    assert bucket.spend(1, 1) == 2


def test_no_debt_is_larger_than_a_burst() -> None:
    bucket = Bucket(rate=2, burst=4, now=0)
    for _ in range(10):
        bucket.owe(0, 1000)
    assert bucket.owe(0, 0) == 2


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 100),
    pauses=st.lists(st.floats(0, 5), max_size=200),
)
def test_nobody_gets_more_than_the_rate_and_one_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    bucket, now, passed = Bucket(rate, burst, 0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.spend(now) == 0
    assert passed <= burst + rate * now + 1e-6
