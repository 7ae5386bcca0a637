"""`manage.py realtime_status`."""

import json
import signal
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

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
        "  a  host:1  alive  3 connections",
        "  b  host:1  ENDED  1 connections",
        "  general: 3 here",
    ]
    result = run("realtime_status", "--json").result
    assert (result["connections"], result["users"], result["busiest"]) == (3, 2, {"general": 3})


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
