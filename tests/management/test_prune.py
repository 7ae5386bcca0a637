"""`manage.py realtime_prune`."""

import signal
from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from realtime.models import Entry, Message, Report, Room, Sanction
from realtime.store.messages import retention
from realtime.store.moderation import actions
from realtime.topics import Event, Topic
from realtime.topics.registry import registry
from tests.management.conftest import run
from tests.store.conftest import database, room, together, url
from tests.store.says import say

__all__ = ["database", "room", "url"]


class Paid(Event):
    total: int


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    with registry.isolated():
        yield


def age(days: int) -> None:
    at = timezone.now() - timedelta(days=days)
    Message.objects.update(created_at=at)
    Entry.objects.update(at=at)


def bills() -> Topic:
    fields = {"path": "bills", "events": [Paid], "keep": timedelta(days=30)}
    made: type[Topic] = type("Bills", (Topic,), {"__module__": __name__, **fields})
    return made()


def test_what_is_too_old_is_removed(room: Room, settings: Settings) -> None:
    """Per room and topic; the state of a key stays."""
    settings.REALTIME = {"MESSAGE_DAYS": 30}
    say(room, *"abc")
    topic = bills()
    topic.publish_many([Paid(total=1), Paid(total=2)])
    topic.set("last", Paid(total=3))
    age(40)
    say(room, "d")
    due = run("realtime_prune", "--dry-run", "--json")
    assert Message.objects.count() + Entry.objects.count() == 7
    done = run("realtime_prune", "--json")
    assert (due.code, done.code) == (0, 0)
    assert due.result == {**done.result, "dry_run": True}
    assert (done.result["messages"], done.result["entries"]) == (3, 2)
    assert done.result["places"] == {"general": 3, "bills": 2}
    assert Entry.objects.get().key == "last"
    assert "0 messages removed" in run("realtime_prune").out


def test_one_room_is_pruned_to_a_given_age(room: Room) -> None:
    say(room, "a")
    say(Room.objects.create(slug="other"), "b")
    age(40)
    assert run("realtime_prune", "--room", "general").code == 0
    assert Message.objects.count() == 2
    ran = run("realtime_prune", "--room", "general", "--days", "30", "--json")
    assert ran.result["places"] == {"general": 1}
    assert Message.objects.get().content == "b"


def test_a_room_alone_is_pruned_as_with_all_others(room: Room, settings: Settings) -> None:
    settings.REALTIME = {"MESSAGE_DAYS": 1}
    say(room, *"ab")
    age(3)
    for given, keep_days in (([], None), (["--room", "general"], None), (["--room", "general"], 0)):
        Room.objects.update(keep_days=keep_days)
        assert run("realtime_prune", *given, json=True).result["messages"] == 0
    age(8)
    assert run("realtime_prune", "--room", "general", json=True).result["messages"] == 0
    Room.objects.update(keep_days=None)
    assert run("realtime_prune", "--room", "general", json=True).result["messages"] == 2


def test_one_topic_is_pruned_to_a_given_age() -> None:
    bills().publish(Paid(total=1))
    age(20)
    assert run("realtime_prune", "--topic", "bills", "--json").result["entries"] == 0
    ran = run("realtime_prune", "--topic", "bills", "--days", "10", "--json")
    assert ran.result["entries"] == 1


def test_a_legal_hold_keeps_everything(room: Room, settings: Settings) -> None:
    settings.REALTIME = {"MESSAGE_DAYS": 30, "GUEST_MESSAGE_DAYS": 30, "HELD_TOPICS": ["bil*"]}
    Room.objects.update(is_held=True)
    say(room, "a")
    Message.objects.update(sender="guest:1")
    past = timezone.now() - timedelta(days=900)
    mute = {"kind": "mute", "user_key": "guest:1", "ends_at": past}
    Sanction.objects.create(**mute, room=room)
    report = {"reporter": "guest:2", "resolved_at": past}
    Report.objects.create(message=Message.objects.get(), **report)
    bills().publish(Paid(total=1))
    age(40)
    assert run("realtime_prune", "--json").result["places"] == {}
    for place in (["--topic", "bills"], ["--room", "general"]):
        refused = run("realtime_prune", *place, "--days", "30")
        assert (refused.code, "legal hold" in refused.error) == (2, True)
    assert (Message.objects.get().content, Entry.objects.count()) == ("a", 1)
    assert (Sanction.objects.count(), Report.objects.count()) == (1, 1)
    Room.objects.update(is_held=False)
    found = run("realtime_prune", "--json").result
    assert (found["sanctions"], found["reports"]) == (1, 1)


def test_all_ended_sanctions_are_removed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a dry run counts."""
    monkeypatch.setattr(actions.delete_ended, "__defaults__", (2,))
    past = timezone.now() - timedelta(days=900)
    for number in range(5):
        Sanction.objects.create(kind="mute", user_key=f"guest:{number}", ends_at=past)
    assert run("realtime_prune", "--dry-run", "--json").result["sanctions"] == 5
    assert run("realtime_prune", "--json").result["sanctions"] == 5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--room", "nowhere"], "There is no room 'nowhere'."),
        (["--room", "nul\0"], "There is no room"),
        (["--topic", "nul\0"], "There is no topic"),
        (["--room", "general", "--days", "6"], "from 7 to 36,500, not 6"),
        (["--room", "general", "--days", "nan"], "not nan"),
        (["--topic", "bills", "--days", "-1"], "from 0 to 36,500"),
        (["--days", "30"], "--days needs --room or --topic"),
    ],
)
def test_wrong_arguments_are_refused(room: Room, arguments: list[str], text: str) -> None:
    ran = run("realtime_prune", *arguments)
    assert (ran.code, text in ran.error) == (2, True), ran.error


def test_an_interrupt_leaves_whole_parts_and_another_run_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    say(room, *"abcde")
    age(40)
    remove = retention._remove

    def interrupted(room_id: int, pks: list[int]) -> int:
        signal.raise_signal(signal.SIGINT)
        return remove(room_id, pks)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_remove", interrupted)
        ran = run("realtime_prune", "--room", "general", "--days", "30")
    assert ran.code == 130
    assert ran.error.startswith("Interrupted after 2 messages removed.")
    assert Message.objects.count() == 3
    assert run("realtime_prune", "--room", "general", "--days", "30").code == 0
    assert not Message.objects.exists()


def test_a_database_that_goes_away_ends_the_run(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(room_id: int, pks: list[int]) -> int:
        raise OperationalError("server closed the connection unexpectedly")

    say(room, "a")
    age(40)
    monkeypatch.setattr(retention, "_remove", fail)
    ran = run("realtime_prune", "--room", "general", "--days", "30")
    assert (ran.code, "The database is not available" in ran.error) == (3, True)


def test_two_runs_at_once_remove_each_message_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 3)
    say(room, *"abcdefghijkl")
    age(40)
    start = Barrier(2)

    def prune() -> int:
        start.wait(10)
        ran = run("realtime_prune", "--room", "general", "--days", "30", "--json")
        return ran.result["messages"]

    numbers = together([prune, prune])
    run("realtime_prune", "--room", "general", "--days", "30")  # SQLite may have been locked
    assert not Message.objects.exists()
    assert sum(numbers) <= 12
