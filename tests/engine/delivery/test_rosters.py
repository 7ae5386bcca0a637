"""Rosters of rooms: joins and leaves reach the members, one by one or as a list."""

import pytest
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.delivery import rosters as module
from realtime.models import Room
from realtime.store.presence import Announcement, Person
from realtime.wire.ratelimit import Bucket
from tests.engine.process import Process


def came(room: Room, *names: str, by: str = "x.1") -> Announcement:
    return Announcement([Person(room.pk, name.lower(), name, by) for name in names], [])


def went(room: Room, *names: str) -> Announcement:
    return Announcement([], [Person(room.pk, name.lower(), name) for name in names])


async def test_joins_and_leaves_are_sent_to_the_others(process: Process, room: Room) -> None:
    """The connection that joined does not get its own event."""
    one, other = await process.joined(room), await process.joined(room)
    process.hub.publish_presence(came(room, "Ada", by=one.outbox.id))
    process.hub.publish_presence(went(room, "Ada"))
    await eventually(lambda: other.kinds("left"))
    assert [item["username"] for item in other.items if "user_id" in item] == ["Ada", "Ada"]
    assert [item["type"] for item in one.items if "user_id" in item] == ["left"]


async def test_a_crowd_is_sent_as_a_number(
    process: Process, room: Room, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit at most once in a while, and without names."""
    monkeypatch.setattr(module, "CROWD_SECONDS", 0.03)
    settings.REALTIME = {"PRESENCE_EVENTS_UP_TO": 2}
    member = await process.joined(room)
    process.hub.publish_presence(came(room, "Ada", "Bob"))
    for name in ("Cy", "Dan", "Eve"):
        process.hub.publish_presence(came(room, name))
    await eventually(lambda: member.kinds("presence"))
    assert [item["count"] for item in member.kinds("presence")] == [5]
    named = [item for item in member.kinds("joined") if "username" in item]
    assert [item["username"] for item in named] == ["Ada", "Bob"]


async def test_a_crowd_that_shrinks_is_named_again(
    process: Process, room: Room, settings: Settings
) -> None:
    """The names are read from the database; none is sent meanwhile."""
    settings.REALTIME = {"PRESENCE_EVENTS_UP_TO": 2}
    await process.joined(room)
    roster = process.topic(room).roster
    process.hub.publish_presence(came(room, "Ada", "Bob", "Cy"))
    assert roster.is_crowd
    process.hub.publish_presence(went(room, "Cy"))
    assert roster.members() == []
    await eventually(lambda: not roster.is_incomplete)
    assert roster.count == 0  # the database has no presence


async def test_a_storm_of_joins_and_leaves_is_sent_as_one_list(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the allowance of deliveries, a room gets the list of its users once in a while."""
    monkeypatch.setattr(module, "CROWD_SECONDS", 0.03)
    members = [await process.joined(room) for _ in range(2)]
    process.topic(room).presence.bucket = Bucket(rate=0.001, burst=6, now=0)
    for number in range(20):
        process.hub.publish_presence(came(room, f"U{number}"))
    process.hub.publish_presence(went(room, *(f"U{number}" for number in range(5, 20))))
    for member in members:
        await eventually(lambda member=member: member.kinds("presence"))
        assert [item["user_id"] for item in member.kinds("joined")[1:]] == ["u0", "u1", "u2"]
        assert member.kinds("left") == []
        [listed] = member.kinds("presence")
        assert {one["user_id"] for one in listed["members"]} == {
            f"u{number}" for number in range(5)
        }
        assert listed["count"] == 5


async def test_a_drifted_count_is_corrected(process: Process, room: Room) -> None:
    """The database corrects the notes."""
    await process.joined(room)
    process.hub.publish_presence(came(room, "Ghost"))
    process.hub.correct_counts({})
    await eventually(lambda: process.topic(room).roster.count == 0)
