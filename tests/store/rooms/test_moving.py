"""Moves from a room to another one: whom they take, what they write, and with how many queries."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from realtime.models import Connection, Membership, Node, Presence, Room
from realtime.policy import Policy
from realtime.signals import invited, moved
from realtime.store import presence
from realtime.store.accounts.identity import Identity
from realtime.store.moderation import actions
from realtime.store.presence import LiveNode
from realtime.store.rooms import moving
from realtime.wire.errors import CommandError

Enter = Callable[..., str]


@pytest.fixture
def table(room: Room) -> Room:
    return Room.objects.create(slug="table", title="Table")


@pytest.fixture
def private(room: Room) -> Room:
    return Room.objects.create(slug="secret", kind="private")


@pytest.fixture
def staff(room: Room) -> Identity:
    made = get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True)
    return Identity.of(made)


@pytest.fixture
def enter(room: Room) -> Enter:
    """Puts a new user into rooms: `enter("ada", room)`; or a guest. Returns the id."""
    node = LiveNode("live", "host", 1, 60)
    presence.rebuild(node, [], [])

    def enter(name: str, *rooms: Room, is_guest: bool = False, **fields: Any) -> str:
        user = None if is_guest else get_user_model().objects.get_or_create(username=name)[0]
        key = f"guest:{name}" if user is None else str(user.pk)
        number = Connection.objects.count() + 1
        more = {"user": user, "user_key": key, "username": name, **fields}
        one = Connection.objects.create(id=f"live.{number}", node_id="live", **more)
        for room in rooms:
            Presence.objects.create(connection=one, room=room, user_key=key, username=name)
        return key

    return enter


@pytest.fixture
def told(room: Room) -> Any:
    """What the signal of moves has said."""
    found: list[dict[str, Any]] = []

    def receive(sender: Any, signal: Any, **fields: Any) -> None:
        found.append(fields)

    moved.connect(receive)
    yield found
    moved.disconnect(receive)


def test_users_in_the_room_are_moved_and_others_are_not(
    room: Room, table: Room, enter: Enter, staff: Identity, told: list[Any]
) -> None:
    """Also a guest; each once, and with an entry for each connection that was there."""
    ada, bob = enter("ada", room), enter("bob", table)
    guest = enter("eve", room, is_guest=True)
    enter("ada", room)
    enter("ada", table)
    found = moving.move(room, table, [ada, guest, bob, ada, "guest:gone"], reason="hi", by=staff)
    assert found == moving.Moves([ada, guest], [], [bob, "guest:gone"])
    assert told == [{"users": [ada, guest], "room": "general", "to": "table", "reason": "hi"}]
    entries = LogEntry.objects.order_by("object_id").values_list("object_id", "change_message")
    text = f"moved from {room} to Table: hi"
    assert list(entries) == [(f"live.{number}", text) for number in (1, 3, 4)]


def test_a_private_room_gets_users_as_members_and_no_guests(
    room: Room, private: Room, enter: Enter, staff: Identity
) -> None:
    ada, guest = enter("ada", room), enter("eve", room, is_guest=True)
    invitations: list[str] = []

    def receive(sender: Any, user_id: str, **_: Any) -> None:
        invitations.append(user_id)

    invited.connect(receive)
    try:
        assert moving.move(room, private, [ada, guest], by=staff).refused == [guest]
        assert moving.move(room, private, [ada], by=staff).moved == [ada]  # already a member
    finally:
        invited.disconnect(receive)
    assert [str(one.user_id) for one in Membership.objects.filter(room=private)] == [ada]
    assert invitations == [ada]


@pytest.mark.parametrize("by_address", [False, True])
@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_banned_user_stays(
    room: Room, enter: Enter, told: list[Any], kind: str, by_address: bool
) -> None:
    """And gets no membership."""
    to = Room.objects.create(slug="to", kind=kind)
    ada = enter("ada", room, address="8.8.4.4")
    actions.sanction("ban", to, "" if by_address else ada, ["8.8.4.4"] if by_address else [])
    assert moving.move(room, to, [ada]) == moving.Moves([], [ada], [])
    assert not Membership.objects.filter(room=to).exists()
    assert told == []


class Full(Policy):
    def may_join(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        return room.slug != "table"


class Broken(Policy):
    def may_join(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize("policy", ["Full", "Broken"])
def test_a_user_whom_the_policy_refuses_stays(
    room: Room, table: Room, enter: Enter, settings: Settings, policy: str
) -> None:
    settings.REALTIME = {**settings.REALTIME, "POLICY": f"{__name__}.{policy}"}
    ada = enter("ada", room)
    assert moving.move(room, table, [ada]).refused == [ada]


def test_memberships_end_where_that_is_wanted(room: Room, table: Room, enter: Enter) -> None:
    """But never those of owners and moderators."""
    keys = {name: enter(name, room) for name in ("owner", "moderator", "member")}
    for name, key in keys.items():
        Membership.objects.create(room=room, user_id=key, role=name)
    moving.move(room, table, keys.values())
    assert Membership.objects.filter(room=room).count() == 3
    moving.move(room, table, keys.values(), ends_membership=True)
    roles = Membership.objects.filter(room=room).values_list("role", flat=True)
    assert set(roles) == {"owner", "moderator"}


def test_connections_of_a_process_that_has_ended_are_not_there(
    room: Room, table: Room, enter: Enter
) -> None:
    ada = enter("ada", room)
    Node.objects.update(expires_at="2020-01-01T00:00Z")
    assert moving.move(room, table, [ada]).absent == [ada]


def test_a_room_and_a_direct_room_are_refused(room: Room, enter: Enter) -> None:
    direct = Room.objects.create(slug="direct-1", kind="direct", direct_key="k")
    for one, other in ((room, room), (room, direct), (direct, room)):
        with pytest.raises(CommandError) as refused:
            moving.move(one, other, [])
        assert refused.value.code == "invalid_message"


@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_move_of_more_users_costs_no_more_queries(
    room: Room, enter: Enter, staff: Identity, kind: str
) -> None:
    to = Room.objects.create(slug="to", kind=kind)
    numbers = []
    for start, size in ((0, 1), (100, 2), (200, 20)):  # the first one fills caches
        keys = [enter(f"u{start + number}", room) for number in range(size)]
        members = [Membership(room=room, user_id=key) for key in keys]
        Membership.objects.bulk_create(members)
        with CaptureQueriesContext(connection) as queries:
            found = moving.move(room, to, keys, by=staff, ends_membership=True)
        assert found.moved == keys
        numbers.append(len(queries))
    assert numbers[1] == numbers[2] <= 25


def test_a_move_that_is_rolled_back_does_nothing(room: Room, private: Room, enter: Enter) -> None:
    ada = enter("ada", room)
    with transaction.atomic():
        moving.move(room, private, [ada])
        transaction.set_rollback(True)
    assert not Membership.objects.exists()
