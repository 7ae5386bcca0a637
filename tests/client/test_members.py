"""Who is in a room."""

from realtime.client.members import Members
from realtime.wire.events import Joined, Left, Member, PresenceList


def joined(user_id: str) -> Joined:
    return Joined(room="r", user_id=user_id, username=user_id.upper())


def left(user_id: str) -> Left:
    return Left(room="r", user_id=user_id, username=user_id.upper())


def test_joins_and_leaves_are_counted_once() -> None:
    members = Members()
    for event in (joined("a"), joined("a"), joined("b"), left("a"), left("a"), left("x")):
        members.take(event)
    assert (members.names, members.count) == ({"b": "B"}, 1)


def test_a_list_replaces_all() -> None:
    members = Members()
    members.take(joined("a"))
    one = Member(user_id="b", username="B")
    members.take(PresenceList(room="r", count=300, members=[one]))
    assert (members.names, members.count) == ({"b": "B"}, 300)
    members.clear()
    assert (members.names, members.count) == ({}, 0)
