"""Calls that follow each other closely, by the time that is passed in."""

from realtime.bursts import BURST_CALLS, BURST_SECONDS, Burst


def test_a_burst_begins_after_so_many_calls_in_a_row() -> None:
    burst, step = Burst(), BURST_SECONDS / 2
    found = [burst.count(100 + number * step) for number in range(BURST_CALLS + 3)]
    assert found.index(True) == BURST_CALLS
    assert all(found[BURST_CALLS:])


def test_a_pause_ends_a_burst() -> None:
    burst = Burst()
    for _ in range(BURST_CALLS + 1):
        is_burst = burst.count(100)
    assert is_burst
    assert not burst.count(100 + BURST_SECONDS)


def test_the_time_for_which_a_caller_has_waited_is_no_pause() -> None:
    burst, now = Burst(), 100.0
    for _ in range(BURST_CALLS + 1):
        is_burst = burst.count(now)
        now += 60
        burst.resume(now)
    assert is_burst
