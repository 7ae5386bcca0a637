"""Waits between attempts, and signs of a sleep."""

import pytest

from realtime.client.clock import MOST_SECONDS, Backoff, SleepCheck


def test_waits_stay_within_their_bounds() -> None:
    backoff = Backoff()
    waits = [backoff.next() for _ in range(200)]
    assert min(waits) >= 0.5
    assert max(waits) <= MOST_SECONDS


def test_the_server_says_how_long_to_wait_at_least() -> None:
    assert all(4 <= Backoff().next(4) <= 8 for _ in range(50))


@pytest.mark.parametrize(("expected", "has_slept"), [(0, False), (60, True)])
def test_time_that_is_missing_is_a_sleep(expected: float, has_slept: bool) -> None:
    assert SleepCheck().has_slept(expected) is has_slept
