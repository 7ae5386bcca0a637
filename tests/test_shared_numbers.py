"""The numbers of several workers in one folder: correct sums, which never decrease."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from realtime.shared_numbers import FOLDER, PLACE, OwnNumbers, SharedNumbers, combined


def numbers(started_at: float, opened: int, connections: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "node": f"n{started_at:g}",
        "started_at": started_at,
        "is_current": True,
        "cpu_seconds": 1.0,
        "gauges": {"connections": connections},
        "totals": {"opened": opened, "closed": {"1000": opened}, "acks": {"buckets": [1, 2]}},
        **more,
    }


def encoded(*args: Any, **more: Any) -> bytes:
    return json.dumps(numbers(*args, **more)).encode()


def opened(shared: SharedNumbers) -> dict[int, int]:
    return {place: one["totals"]["opened"] for place, one in shared.read().items()}


def test_each_place_has_its_own_numbers(tmp_path: Path) -> None:
    shared = SharedNumbers(tmp_path)
    for place in (0, 1, 10):
        shared.write(place, 100 + place, encoded(1.0, place))
    assert opened(shared) == {0: 0, 1: 1, 10: 10}


def test_a_successor_goes_on_where_the_worker_before_has_ended(tmp_path: Path) -> None:
    shared = SharedNumbers(tmp_path)
    shared.write(0, 100, encoded(1.0, 7, 3))
    shared.end(0, 100)
    [gone] = shared.read().values()
    assert (gone["totals"]["opened"], gone["gauges"], gone["node"]) == (7, {}, "")
    assert gone["is_current"] is False
    shared.write(0, 101, encoded(2.0, 1, 2))
    [found] = shared.read().values()
    assert found["totals"] == {"opened": 8, "closed": {"1000": 8}, "acks": {"buckets": [2, 4]}}
    assert (found["gauges"], found["node"]) == ({"connections": 2}, "n2")
    shared.end(0, 101)
    assert opened(shared) == {0: 8}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-ended.json", "lock"]


def test_while_two_share_a_place_both_count(tmp_path: Path) -> None:
    shared = SharedNumbers(tmp_path)
    shared.write(0, 100, encoded(1.0, 7, 3))
    shared.write(0, 101, encoded(2.0, 1, 2))
    [found] = shared.read().values()
    assert (found["totals"]["opened"], found["gauges"]["connections"]) == (8, 5)
    assert (found["node"], found["cpu_seconds"]) == ("n2", 2.0)


def test_a_worker_that_has_written_nothing_may_end(tmp_path: Path) -> None:
    shared = SharedNumbers(tmp_path)
    shared.end(0, 100)
    assert shared.read() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b"\xff"])
def test_a_broken_file_is_left_out(tmp_path: Path, content: bytes) -> None:
    shared = SharedNumbers(tmp_path)
    shared.write(0, 100, content)
    shared.write(1, 101, encoded(1.0, 1))
    assert opened(shared) == {1: 1}
    shared.end(0, 100)
    assert opened(shared) == {1: 1}


def test_versions_may_know_other_numbers() -> None:
    old, new = numbers(1.0, 1), numbers(2.0, 2)
    old["totals"]["gone"] = 5
    new["totals"]["added"] = {"a": 1}
    new["totals"]["acks"]["buckets"].append(9)
    found = combined([new], [old])["totals"]
    assert (found["gone"], found["added"], found["acks"]["buckets"]) == (5, {"a": 1}, [2, 4, 9])


def test_older_numbers_do_not_replace_newer_ones(tmp_path: Path) -> None:
    own = OwnNumbers(tmp_path, 0)
    own.write(encoded(1.0, 2), at=20.0)
    own.write(encoded(1.0, 1), at=10.0)
    assert opened(own.shared) == {0: 2}


def test_a_forked_process_writes_nothing(tmp_path: Path) -> None:
    own = OwnNumbers(tmp_path, 0)
    own.write(encoded(1.0, 2), at=1.0)
    child = os.fork()
    if not child:
        own.write(encoded(1.0, 0), at=2.0)
        os._exit(0)
    os.waitpid(child, 0)
    assert opened(own.shared) == {0: 2}


@pytest.mark.parametrize(
    "environment", [{}, {FOLDER: "/x"}, {PLACE: "1"}, {FOLDER: "/x", PLACE: "a"}]
)
def test_without_a_supervisor_nothing_is_shared(environment: dict[str, str]) -> None:
    assert OwnNumbers.of(environment) is None


def test_a_counter_never_decreases_while_workers_change(tmp_path: Path) -> None:
    """One thread is the supervisor and its workers, another one scrapes."""
    shared, seen, is_over = SharedNumbers(tmp_path), [0], threading.Event()

    def scrape() -> None:
        while not is_over.is_set():
            seen.append(sum(opened(shared).values()))

    thread = threading.Thread(target=scrape)
    thread.start()
    for process in range(100):
        for count in range(5):
            shared.write(0, process, encoded(float(process), count))
        shared.end(0, process)
    is_over.set()
    thread.join()
    assert seen == sorted(seen)
    assert sum(opened(shared).values()) == 400
    assert len(set(seen)) > 10
