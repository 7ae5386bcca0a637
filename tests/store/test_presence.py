"""Leases: who is here, who came, who went, and who buries the dead."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, connections
from django.test.utils import CaptureQueriesContext

from realtime.models import Connection, Node, Presence, Room
from realtime.store import presence
from realtime.store.presence import Announcement, Batch, LiveNode
from tests.store.conftest import together

ME = LiveNode("me", "host", 1, lease_seconds=60)
OTHER = LiveNode("other", "host", 2, lease_seconds=60)
DEAD = LiveNode("dead", "host", 3, lease_seconds=-1)


def connected(node: LiveNode, number: int, user: str = "ada") -> Connection:
    return Connection(
        id=f"{node.id}.{number}", node_id=node.id, user_key=user, username=user.title()
    )


def present(connection: Connection, room: Room) -> Presence:
    return Presence(
        connection_id=connection.pk,
        room=room,
        user_key=connection.user_key,
        username=connection.username,
    )


def batch(*rows: Connection | Presence) -> Batch:
    connections = {row.pk: row for row in rows if isinstance(row, Connection)}
    presences = {(row.connection_id, row.room_id): row for row in rows if isinstance(row, Presence)}
    return Batch(connections=connections, presences=presences)


def enter(node: LiveNode, number: int, *rooms: Room, user: str = "ada") -> Announcement:
    """A new connection of `user` enters rooms."""
    one = connected(node, number, user)
    return presence.apply(batch(one, *(present(one, room) for room in rooms)))


def told(announcement: Announcement | None) -> tuple[list[str], list[str]]:
    """Who came and who went, as `user@room`."""
    assert announcement is not None
    both = (announcement.joined, announcement.left)
    slugs = dict(Room.objects.values_list("pk", "slug"))
    came, went = (
        sorted(f"{person.user_key}@{slugs[person.place]}" for person in people) for people in both
    )
    return came, went


@pytest.fixture(autouse=True)
def nodes() -> None:
    for node in (ME, OTHER, DEAD):
        presence.rebuild(node, [], [])


# Leases.


def test_a_node_whose_lease_has_lapsed_announces_who_comes_and_goes(room: Room) -> None:
    """It writes, so it is alive: its next renewal does not tell what happened in between."""
    one, two, other = connected(DEAD, 1), connected(DEAD, 2), connected(DEAD, 3, "bob")
    rows = batch(one, other, *(present(row, room) for row in (one, other)))
    rows.node = "dead"
    assert told(presence.apply(rows)) == (["ada@general", "bob@general"], [])
    again = batch(two, present(two, room))
    again.node = "dead"
    assert told(presence.apply(again)) == ([], [])
    assert told(presence.apply(Batch("dead", closed=["dead.1", "dead.3"]))) == ([], ["bob@general"])
    assert presence.renew(DEAD._replace(lease_seconds=60))
    assert presence.counts([room.pk]) == {room.pk: 1}


def test_the_rows_of_another_node_whose_lease_has_lapsed_do_not_count(room: Room) -> None:
    enter(DEAD, 1, room)
    one = connected(ME, 1)
    rows = batch(one, present(one, room))
    rows.node = "me"
    assert told(presence.apply(rows)) == (["ada@general"], [])
    assert told(presence.apply(Batch("me", closed=["me.1"]))) == ([], ["ada@general"])


def test_a_lease_is_renewed_while_nobody_has_claimed_the_node() -> None:
    before = Node.objects.get(pk="me").expires_at
    assert presence.renew(ME._replace(lease_seconds=90))
    assert Node.objects.get(pk="me").expires_at > before


def test_a_node_that_is_late_but_not_yet_claimed_may_renew() -> None:
    assert presence.expired_nodes("me") == ["dead"]
    assert presence.renew(DEAD._replace(lease_seconds=60))
    assert presence.expired_nodes("me") == []


def test_a_claimed_node_hears_of_it_when_it_renews() -> None:
    presence.reap("dead", ME)
    assert not presence.renew(DEAD)


def test_an_unknown_node_cannot_renew() -> None:
    assert not presence.renew(LiveNode("nobody", "host", 9, 60))


def test_nobody_finds_itself_expired() -> None:
    assert presence.expired_nodes("dead") == []
    found = sorted(presence.other_nodes("me"))
    assert [(node.id, node.pid, node.is_alive) for node in found] == [
        ("dead", 3, False),
        ("other", 2, True),
    ]


def test_a_claimed_node_is_not_alive() -> None:
    """Even while its claim lasts, and nobody else claims it with it."""
    assert presence.reap("other", ME, even_if_alive=True) is not None
    assert presence.reap("other", DEAD, even_if_alive=True) is None
    assert not any(node.is_alive for node in presence.other_nodes("me"))


# Coming and going.


def test_the_first_tab_of_a_user_comes_and_the_second_does_not(room: Room) -> None:
    assert told(enter(ME, 1, room)) == (["ada@general"], [])
    assert told(enter(ME, 2, room)) == ([], [])
    assert told(enter(OTHER, 1, room)) == ([], [])


def test_two_tabs_in_one_batch_come_once(room: Room) -> None:
    one, two = connected(ME, 1), connected(ME, 2)
    announcement = presence.apply(batch(one, two, present(one, room), present(two, room)))
    assert told(announcement) == (["ada@general"], [])


def test_an_announcement_names_the_connection_that_came(room: Room) -> None:
    [person] = enter(ME, 1, room).joined
    assert (person.user_key, person.username, person.connection) == ("ada", "Ada", "me.1")


def test_only_the_last_tab_that_closes_leaves(room: Room) -> None:
    enter(ME, 1, room)
    enter(OTHER, 1, room)
    assert told(presence.apply(Batch(closed=["me.1"]))) == ([], [])
    assert told(presence.apply(Batch(closed=["other.1"]))) == ([], ["ada@general"])
    assert not Connection.objects.exists()


def test_two_tabs_that_close_together_leave_once(room: Room) -> None:
    enter(ME, 1, room)
    enter(ME, 2, room)
    assert told(presence.apply(Batch(closed=["me.1", "me.2"]))) == ([], ["ada@general"])


def test_leaving_one_room_keeps_the_others(room: Room, other_room: Room) -> None:
    enter(ME, 1, room, other_room)
    assert told(presence.apply(Batch(left=[("me.1", room.pk)]))) == ([], ["ada@general"])
    assert presence.counts([room.pk, other_room.pk]) == {other_room.pk: 1}
    assert Connection.objects.count() == 1


def test_leaving_with_one_tab_while_another_stays_tells_nobody(room: Room) -> None:
    enter(ME, 1, room)
    enter(ME, 2, room)
    assert told(presence.apply(Batch(left=[("me.1", room.pk)]))) == ([], [])
    assert presence.counts([room.pk]) == {room.pk: 1}


def test_closing_leaves_every_room(room: Room, other_room: Room) -> None:
    enter(ME, 1, room, other_room)
    closed = presence.apply(Batch(closed=["me.1"]))
    assert told(closed) == ([], ["ada@general", "ada@other"])


def test_a_batch_tells_all_that_happened_in_it(room: Room, other_room: Room) -> None:
    enter(ME, 1, room, other_room)
    enter(ME, 2, room, user="bob")
    mixed = batch(eve := connected(ME, 3, "eve"), present(eve, room))
    mixed.closed = ["me.2"]
    mixed.left = [("me.1", other_room.pk)]
    assert told(presence.apply(mixed)) == (["eve@general"], ["ada@other", "bob@general"])


def test_leaving_and_coming_back_in_one_batch_ends_present(room: Room) -> None:
    enter(ME, 1, room)
    again = batch(present(Connection(id="me.1", user_key="ada", username="Ada"), room))
    again.left = [("me.1", room.pk)]
    presence.apply(again)
    assert presence.counts([room.pk]) == {room.pk: 1}


def test_closing_what_was_never_written_is_harmless(room: Room) -> None:
    assert told(presence.apply(Batch(closed=["me.9"], left=[("me.8", room.pk)]))) == ([], [])


def test_a_connection_that_becomes_somebody_else_keeps_its_row(room: Room) -> None:
    enter(ME, 1)
    presence.apply(batch(connected(ME, 1, "bob")))
    assert list(Connection.objects.values_list("pk", "user_key", "username")) == [
        ("me.1", "bob", "Bob")
    ]


def test_a_presence_on_a_dead_node_does_not_hide_that_a_user_came(room: Room) -> None:
    enter(DEAD, 1, room)
    assert told(enter(ME, 1, room)) == (["ada@general"], [])


def test_a_batch_of_a_removed_node_writes_nothing(room: Room) -> None:
    presence.reap("dead", ME)
    presence.delete_node("dead", ME)
    with pytest.raises(IntegrityError):
        enter(DEAD, 1, room)
    assert not Connection.objects.exists()
    assert not Presence.objects.exists()


def test_a_batch_costs_the_same_few_queries_whatever_its_size(room: Room) -> None:
    numbers = []
    for start, size in ((0, 2), (100, 60)):
        rows = [connected(ME, start + number, f"u{number}") for number in range(size)]
        with CaptureQueriesContext(connection) as queries:
            presence.apply(batch(*rows, *(present(row, room) for row in rows)))
        numbers.append(len(queries))
    assert numbers[0] == numbers[1] <= 5


# Death.


def test_a_dead_nodes_users_leave_when_it_is_reaped(room: Room, other_room: Room) -> None:
    enter(DEAD, 1, room, other_room)
    enter(ME, 1, room)
    assert told(presence.reap("dead", ME)) == ([], ["ada@other"])
    presence.delete_node("dead", ME)
    assert set(Node.objects.values_list("pk", flat=True)) == {"me", "other"}
    assert list(Connection.objects.values_list("pk", flat=True)) == ["me.1"]
    assert Presence.objects.count() == 1


def test_a_dead_nodes_users_are_gone_before_it_is_reaped(room: Room) -> None:
    enter(DEAD, 1, room)
    enter(ME, 1, room, user="bob")
    assert presence.counts([room.pk]) == {room.pk: 1}
    assert [member.user_id for member in presence.members(room.pk, 10)[0]] == ["bob"]
    assert [one.pk for one in presence.live_connections()] == ["me.1"]


def test_a_living_node_is_not_reaped() -> None:
    assert presence.reap("other", ME) is None
    assert Node.objects.get(pk="other").reaper == ""


def test_a_node_alone_may_reap_the_living(room: Room) -> None:
    enter(OTHER, 1, room)
    assert told(presence.reap("other", ME, even_if_alive=True)) == ([], ["ada@general"])


def test_only_the_one_that_claimed_a_node_removes_it(room: Room) -> None:
    enter(DEAD, 1, room)
    presence.delete_node("dead", ME)
    presence.reap("dead", ME)
    presence.delete_node("dead", OTHER)
    assert Connection.objects.filter(node="dead").exists()


def test_exactly_one_of_many_reaps(room: Room) -> None:
    enter(DEAD, 1, room)
    crowd = [LiveNode(f"n{number}", "host", number, 60) for number in range(6)]
    results = together([lambda node=node: presence.reap("dead", node) for node in crowd])
    winners = [result for result in results if result is not None]
    assert [told(winner) for winner in winners] == [([], ["ada@general"])]


def test_where_the_reaper_dies_too_another_takes_over(room: Room) -> None:
    enter(DEAD, 1, room)
    assert presence.reap("dead", ME._replace(lease_seconds=-1)) is not None
    assert presence.expired_nodes("other") == ["dead"]
    assert told(presence.reap("dead", OTHER)) == ([], ["ada@general"])
    presence.delete_node("dead", OTHER)
    assert not Node.objects.filter(pk="dead").exists()


def test_a_node_that_was_taken_for_dead_comes_back_with_all_its_rows(room: Room) -> None:
    enter(DEAD, 1, room)
    presence.reap("dead", ME)
    presence.delete_node("dead", ME)
    back = DEAD._replace(lease_seconds=60)
    one = connected(back, 1)
    assert told(presence.rebuild(back, [one], [present(one, room)])) == (["ada@general"], [])
    assert presence.renew(back)
    assert presence.counts([room.pk]) == {room.pk: 1}


def test_a_node_that_is_claimed_comes_back_before_it_is_removed(room: Room) -> None:
    enter(DEAD, 1, room)
    presence.reap("dead", ME)
    back = DEAD._replace(lease_seconds=60)
    one = connected(back, 1)
    presence.rebuild(back, [one], [present(one, room)])
    presence.delete_node("dead", ME)
    assert presence.counts([room.pk]) == {room.pk: 1}


def test_a_rebuild_replaces_what_was_there(room: Room, other_room: Room) -> None:
    enter(ME, 1, room)
    enter(ME, 2, room, other_room)
    two = connected(ME, 2)
    presence.rebuild(ME, [two], [present(two, room)])
    assert list(Connection.objects.values_list("pk", flat=True)) == ["me.2"]
    assert presence.counts([room.pk, other_room.pk]) == {room.pk: 1}


@pytest.mark.parametrize("statement", [1, 2, 3], ids="at statement {}".format)
def test_a_node_that_comes_back_while_it_is_removed_loses_nothing(
    room: Room, statement: int, is_postgres: bool
) -> None:
    if not is_postgres:
        pytest.skip("SQLite lets one write at a time")
    enter(DEAD, 1, room)
    presence.reap("dead", ME)
    back = DEAD._replace(lease_seconds=60)
    one = connected(back, 1)

    def come_back() -> None:
        try:
            presence.rebuild(back, [one], [present(one, room)])
        finally:
            connections.close_all()

    thread = Thread(target=come_back, daemon=True)
    during(statement, thread, lambda: presence.delete_node("dead", ME))
    thread.join(20)
    assert presence.renew(back)
    assert presence.counts([room.pk]) == {room.pk: 1}


def during(number: int, thread: Thread, action: Callable[[], object]) -> None:
    """Run `thread` before statement `number` of `action`: until it ends, or waits for a lock."""
    seen = 0

    def interrupt(execute: Callable[..., Any], *args: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            thread.start()
            thread.join(0.3)
        return execute(*args)

    with connection.execute_wrapper(interrupt):
        action()


def test_a_node_that_stops_takes_its_users_along(room: Room) -> None:
    enter(ME, 1, room)
    enter(ME, 2, room, user="bob")
    enter(OTHER, 1, room)
    assert told(presence.release(ME)) == ([], ["bob@general"])
    assert not Node.objects.filter(pk="me").exists()
    assert [one.pk for one in Connection.objects.all()] == ["other.1"]


# Looking.


def test_members_are_users_with_their_number_of_connections(room: Room) -> None:
    enter(ME, 1, room, user="bob")
    enter(ME, 2, room)
    enter(OTHER, 3, room)
    members, count = presence.members(room.pk, 10)
    assert [(one.user_id, one.username, one.connections) for one in members] == [
        ("ada", "Ada", 2),
        ("bob", "Bob", 1),
    ]
    assert count == 2


def test_a_crowd_is_only_counted(room: Room) -> None:
    for number in range(5):
        enter(ME, number, room, user=f"u{number}")
    assert len(presence.members(room.pk, 5)[0]) == 5
    assert presence.members(room.pk, 4) == ([], 5)


def test_an_empty_room_has_no_members(room: Room) -> None:
    assert presence.members(room.pk, 10) == ([], 0)
    assert presence.counts([room.pk]) == {}


def test_counts_of_many_rooms_are_one_query(room: Room, other_room: Room) -> None:
    enter(ME, 1, room, other_room)
    enter(ME, 2, room, user="bob")
    enter(ME, 3, room)
    with CaptureQueriesContext(connection) as queries:
        assert presence.counts([room.pk, other_room.pk]) == {room.pk: 2, other_room.pk: 1}
    assert len(queries) == 1


def test_a_deleted_user_or_room_takes_its_presence_along(room: Room) -> None:
    user = get_user_model().objects.create(username="ada")
    one = connected(ME, 1)
    one.user = user
    presence.apply(batch(one, present(one, room)))
    room.delete()
    assert not Presence.objects.exists()
    user.delete()
    assert not Connection.objects.exists()


@pytest.mark.parametrize("alive", [True, False])
def test_two_nodes_write_at_once(room: Room, alive: bool) -> None:
    """Whoever is first by number is told to have come; nobody comes unannounced."""
    crowd = [ME, OTHER] if alive else [ME]
    results = together([lambda node=node: enter(node, 1, room) for node in crowd])
    assert ["ada@general"] in [told(result)[0] for result in results]


# Topics.


def subscribe(node: LiveNode, number: int, *topics: str, user: str = "ada") -> Announcement:
    """A new connection of `user` subscribes to topics."""
    one = connected(node, number, user)
    rows = {(one.pk, name): presence.new_presence(one, name) for name in topics}
    return presence.apply(Batch(connections={one.pk: one}, presences=rows))


def named(announcement: Announcement | None) -> tuple[list[str], list[str]]:
    assert announcement is not None
    came, went = (
        sorted(f"{one.user_key}@{one.place}" for one in people) for people in announcement
    )
    return came, went


def test_a_topic_is_a_place_of_its_own(room: Room) -> None:
    """Also one whose name is the number of a room; both are counted in one call."""
    name = str(room.pk)
    assert named(subscribe(ME, 1, name, "b")) == (["ada@" + name, "ada@b"], [])
    assert presence.members(room.pk, 10) == ([], 0)
    assert told(enter(OTHER, 1, room, user="bob")) == (["bob@general"], [])
    assert presence.counts([room.pk, name, "b", "c"]) == {room.pk: 1, name: 1, "b": 1}
    [member] = presence.present(name)
    assert (member.user_id, member.username, member.connections) == ("ada", "Ada", 1)


def test_several_subscribers_of_a_user_are_one(room: Room) -> None:
    subscribe(ME, 1, "a")
    assert named(subscribe(OTHER, 1, "a")) == ([], [])
    assert [one.connections for one in presence.present("a")] == [2]
    assert named(presence.apply(Batch(left=[("me.1", "a")]))) == ([], [])
    assert named(presence.apply(Batch(closed=["other.1"]))) == ([], ["ada@a"])


def test_subscribers_of_a_dead_process_are_told_with_its_members(room: Room) -> None:
    enter(DEAD, 1, room)
    subscribe(DEAD, 2, "a", "b", user="bob")
    subscribe(ME, 1, "b", user="bob")
    assert presence.present("a") == []  # its lease is over
    assert named(presence.reap("dead", ME)) == ([], sorted([f"ada@{room.pk}", "bob@a"]))
    presence.delete_node("dead", ME)
    assert Presence.objects.count() == 1


def test_the_rows_of_a_process_are_written_anew(room: Room) -> None:
    one = connected(ME, 1)
    subscribe(ME, 1, "a", "b")
    kept = presence.new_presence(one, "b")
    announcement = presence.rebuild(ME, [one], [kept])
    assert named(announcement) == (["ada@b"], ["ada@a"])
    assert named(presence.release(ME)) == ([], ["ada@b"])


def test_a_subscription_is_one_row(room: Room) -> None:
    subscribe(ME, 1, "a")
    with pytest.raises(IntegrityError):
        presence.apply(
            Batch(presences={("me.1", "a"): presence.new_presence(connected(ME, 1), "a")})
        )


@pytest.mark.parametrize("columns", [{}, {"topic": "a", "room_id": 1}])
def test_a_presence_is_in_one_place(room: Room, columns: dict[str, Any]) -> None:
    subscribe(ME, 1)
    if columns:
        columns = {**columns, "room_id": room.pk}
    with pytest.raises(IntegrityError):
        Presence.objects.create(connection_id="me.1", user_key="ada", **columns)
