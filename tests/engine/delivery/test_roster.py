"""The roster: the users in a room, as far as a process was notified."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.delivery.roster import Roster, with_user
from realtime.wire.events import Member


def roster(*names: str, limit: int = 3) -> Roster:
    made = Roster(limit)
    made.load([Member(user_id=name, username=name.upper()) for name in names], len(names))
    return made


def test_joins_and_leaves_change_the_roster() -> None:
    """Names and count follow the notes."""
    room = roster("ada")
    room.add("bob", "Bob")
    room.remove("ada")
    assert room.members() == [Member(user_id="bob", username="Bob")]
    assert room.count == 1


def test_a_repeated_note_changes_nothing() -> None:
    """Two announcements are harmless."""
    room = roster()
    for _ in range(2):
        room.add("ada", "Ada")
    assert room.count == 1
    for _ in range(2):
        room.remove("ada")
    assert (room.count, room.is_incomplete) == (0, False)


def test_a_crowd_is_only_counted() -> None:
    """Above the limit no name is listed, and none is kept."""
    room = roster("a", "b", "c")
    assert not room.is_crowd
    room.add("d", "D")
    assert (room.is_crowd, room.count, room.members()) == (True, 4, [])
    room.add("e", "E")
    room.remove("a")
    assert (room.is_crowd, room.count) == (True, 4)


def test_a_crowd_that_shrinks_knows_that_it_lacks_names() -> None:
    """It has to be loaded again, and until then lists no names rather than some."""
    room = roster("a", "b", "c")
    room.add("d", "D")
    room.remove("a")
    assert (room.is_crowd, room.count, room.is_incomplete) == (False, 3, True)
    room.remove("b")
    room.add("e", "E")
    assert (room.count, room.members()) == (3, [])
    room.load([Member(user_id="b", username="B")], 1)
    assert (room.is_incomplete, len(room.members())) == (False, 1)


def test_the_count_is_never_below_zero() -> None:
    """Leaving an empty room leaves it empty."""
    room = roster(limit=0)
    room.remove("ada")
    assert room.count == 0


ADA, BOB = Member(user_id="a", username="ada"), Member(user_id="b", username="bob")


@pytest.mark.parametrize(
    ("members", "count", "names", "number"),
    [
        ([], 0, ["ada"], 1),
        ([BOB], 1, ["ada", "bob"], 2),
        ([ADA, BOB], 2, ["ada", "bob"], 2),
        ([], 99, [], 99),  # a crowd is only counted
    ],
)
def test_a_user_who_is_here_for_certain_is_listed(
    members: list[Member], count: int, names: list[str], number: int
) -> None:
    """Although the row may not be written yet."""
    found, total = with_user(members, count, "a", "ada")
    assert ([one.username for one in found], total) == (names, number)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef"))))
def test_a_small_room_is_known_exactly(steps: list[tuple[bool, str]]) -> None:
    """Below the limit, the roster is the set of users who joined and did not leave."""
    room, here = roster(limit=10), set[str]()
    for is_coming, name in steps:
        if is_coming:
            room.add(name, name)
            here.add(name)
        else:
            room.remove(name)
            here.discard(name)
        assert {member.user_id for member in room.members()} == here
        assert room.count == len(here)
