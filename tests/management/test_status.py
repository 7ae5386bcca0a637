"""`manage.py realtime_status`."""

import json
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.counts import BOUNDS
from realtime.engine.numbers import Acks, Gauges, Numbers, Totals, read
from realtime.models import Connection, Node, Pending, Presence, Room
from realtime.store.overview import overview
from tests.management.conftest import run
from tests.store.conftest import database, room, url
from tests.store.says import say

__all__ = ["database", "room", "url"]


@pytest.fixture
def site(room: Room) -> None:
    """A living process with three clients of two users, and a dead one with a client."""
    for name, seconds in (("a", 60), ("b", -60)):
        expires_at = timezone.now() + timedelta(seconds=seconds)
        Node.objects.create(id=name, hostname="host", pid=1, expires_at=expires_at)
    for number, (node, user) in enumerate((("a", "7"), ("a", "7"), ("a", "8"), ("b", "9"))):
        one = Connection.objects.create(id=f"{node}.{number}", node_id=node, user_key=user)
        Presence.objects.create(connection=one, room=room, user_key=user)


@pytest.mark.usefixtures("site")
def test_the_state_of_the_site_is_shown(room: Room) -> None:
    say(room, *"abc")
    Pending.objects.create(topic="t", kind="event", created_at=timezone.now() - timedelta(hours=1))
    ran = run("realtime_status")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "3 connections of 2 users",
        "1 rooms, 3 messages and events",
        "1 wait for their position, the oldest for 3600 s",
        "  node  process  state  version  age  clients  cmd/s  deliv/s  p50  p99  waiting  CPU",
        "  a     host:1   alive                      3",
        "  b     host:1   ENDED                      1",
        "  no numbers of a: see realtime_doctor",
        "  general: 3 here",
    ]
    result = run("realtime_status", "--json").result
    assert (result["connections"], result["users"], result["busiest"]) == (3, 2, {"general": 3})


def sample(at: float, **totals: Any) -> Numbers:
    numbers = read(None)
    numbers.node, numbers.version, numbers.started_at, numbers.at = "a", "1.2", 1000.0, at
    numbers.gauges = Gauges(connections=1234, queued_frames=5)
    numbers.cpu_seconds = at / 10
    numbers.totals = Totals(**{"acks": Acks([0] * (len(BOUNDS) + 1)), **totals})
    return numbers


@pytest.mark.usefixtures("site")
def test_the_live_view_has_the_numbers_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rates are those between two views; a process in its place has none yet."""
    buckets = [0, 98, 0, 2, *[0] * (len(BOUNDS) - 3)]
    samples = [
        {"a": sample(8300)},
        {"a": sample(8310, commands=50, deliveries=30_000, acks=Acks(buckets))},
        {"a": sample(8300)},
    ]
    module = "realtime.management.commands.realtime_status"
    monkeypatch.setattr(f"{module}.numbers_of", lambda nodes: samples.pop(0))

    def wait(command: object, seconds: float) -> None:
        Node.objects.filter(pk="a").update(drain_seconds=5)
        if len(samples) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(f"{module}.Command._wait", wait)
    ran = run("realtime_status", "--watch")
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("  a ")]
    assert rows[0] == ["a", "host:1", "alive", "1.2", "2", "h", "1,234", "5"]
    full = [*("a", "host:1", "drains", "1.2", "2", "h", "1,234"), "5", "3,000"]
    assert rows[1] == [*full, "2.5", "ms", "10", "ms", "5", "10%"]
    assert rows[2][7:] == ["5"]
    assert "no numbers" not in ran.out


def test_without_a_process_the_code_says_so() -> None:
    ran = run("realtime_status")
    assert (ran.code, "no server process" in ran.out) == (1, True)


@pytest.mark.usefixtures("site")
def test_a_larger_site_costs_no_more_queries(room: Room) -> None:
    numbers = []
    for more in (1, 10):
        for number in range(more):
            say(Room.objects.create(slug=f"r{more}-{number}"), "a")
            Node.objects.create(id=f"n{more}-{number}", pid=1, expires_at=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            overview()
        numbers.append(len(queries))
    assert numbers[0] == numbers[1] <= 6


@pytest.mark.usefixtures("site")
def test_a_live_view_ends_with_ctrl_c(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows the rate of what came meanwhile."""
    views: list[int] = []

    def wait(command: object, seconds: float) -> None:
        views.append(len(views))
        say(room, "a", "b")
        if len(views) == 3:
            signal.raise_signal(signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr("realtime.management.commands.realtime_status.Command._wait", wait)
    ran = run("realtime_status", "--watch", "--json")
    shown = [json.loads(line) for line in ran.out.splitlines()]
    assert [one["events"] for one in shown] == [0, 2, 4, 6]
    assert shown[0]["events_per_second"] is None
    assert shown[1]["events_per_second"] > 0


@pytest.mark.parametrize("every", ["0", "-1", "nan", "99999"])
def test_a_wrong_interval_is_refused(every: str) -> None:
    ran = run("realtime_status", "--watch", "--every", every)
    assert (ran.code, "--every must be from" in ran.error) == (2, True)
