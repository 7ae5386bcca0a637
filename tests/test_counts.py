"""The numbers of a process: each only grows, and few of them are labels."""

import pytest

from realtime.counts import BOUNDS, Counts, Histogram


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (60.0, -1)])
def test_a_time_is_in_the_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.buckets[bucket] == sum(histogram.buckets) == 1
    assert (len(histogram.buckets), histogram.seconds) == (len(BOUNDS) + 1, seconds)


def test_a_client_cannot_make_any_number_of_labels() -> None:
    """The codes of the server and the site are few; a client may send any of some thousand."""
    counts = Counts()
    for code in (1000, 1001, 1016, 3000, 4008, 4950):
        counts.close(None, code)
    counts.close(4001, 1000)
    counts.close(4950)
    assert counts.closed == {1000: 1, 1001: 1, 1006: 4, 4001: 1, 4950: 1}


def test_a_transaction_that_numbers_nothing_is_not_counted() -> None:
    counts = Counts()
    counts.number(3)
    counts.number(0)
    assert (counts.numberings, counts.numbered) == (1, 3)
