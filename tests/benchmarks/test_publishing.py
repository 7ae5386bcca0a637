"""What was published, and when each text has come to its last subscriber."""

import pytest

from benchmarks.load.publishing import Arrivals, Published


def published(*processes: dict[str, list[float]]) -> Published:
    return Published(
        [{"seconds": place + 1.0, "sent": sent} for place, sent in enumerate(processes)]
    )


def test_the_writers_of_all_processes_count() -> None:
    """All publish at once, so it took as long as the slowest did."""
    told = published({"1": [0.1, 0.2]}, {"2": [0.1]})
    assert told.sent == {1: [0.1, 0.2], 2: [0.1]}
    assert (told.number, told.seconds) == (3, 2.0)


def test_a_text_has_landed_when_the_last_socket_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come together, and in whatever order the sockets get them."""
    clock = iter((5.0, 6.0, 8.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    arrivals, landed = Arrivals(2), []
    arrivals.on_landed = landed.append
    arrivals.run_arrived((1, 1, 3))
    arrivals.run_arrived((1, 1, 1))
    arrivals.run_arrived((1, 2, 3))
    assert landed == [1, 2]
    assert arrivals.seconds(published({"1": [4.0, 4.5, 5.0]})) == [2.0, 3.5, 3.0]


def test_a_text_that_one_socket_lacks_has_not_landed() -> None:
    """It is lost, and has no latency."""
    arrivals = Arrivals(2)
    arrivals.run_arrived((1, 1, 2))
    arrivals.run_arrived((1, 1, 1))
    assert len(arrivals.seconds(published({"1": [0.0, 0.0]}))) == 1


def test_what_came_before_is_forgotten() -> None:
    """The next publisher counts from 1 again."""
    arrivals = Arrivals(1)
    arrivals.run_arrived((1, 1, 1))
    arrivals.clear()
    assert arrivals.seconds(published({"1": [0.0]})) == []
