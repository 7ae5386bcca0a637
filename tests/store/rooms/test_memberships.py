"""Making rooms, and lasting places in them."""

import re
from contextlib import nullcontext, suppress
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core import signing
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from realtime.models import Membership, Room
from realtime.store.accounts.identity import Identity
from realtime.store.moderation import actions
from realtime.store.rooms import access, management, memberships
from realtime.wire.errors import CommandError, ErrorCode
from tests.store.conftest import together
from tests.store.says import say

GUEST = Identity("guest:1", "Guest")


def person(name: str, **fields: Any) -> Identity:
    return Identity.of(get_user_model().objects.create(username=name, **fields))


@pytest.fixture
def ada() -> Identity:
    return person("ada")


@pytest.fixture
def bob() -> Identity:
    return person("bob")


@pytest.fixture
def private(ada: Identity) -> Room:
    """Ada's."""
    room = Room.objects.create(slug="secret", kind="private")
    Membership.objects.create(room=room, user=ada.user, role="owner")
    return room


@pytest.fixture
def everybody_creates(settings: Settings) -> None:
    settings.REALTIME = {"CREATE_ROOMS": "users"}


def roles(room: Room) -> dict[str, str]:
    rows = Membership.objects.filter(room=room).select_related("user")
    return {row.user.get_username(): row.role for row in rows}


def refusal(act: Any, *args: Any, **kwargs: Any) -> ErrorCode:
    with pytest.raises(CommandError) as caught:
        act(*args, **kwargs)
    return caught.value.code


# Making.


@pytest.mark.parametrize(
    ("whose", "may"),
    [("nobody", ""), ("staff", "clerk"), ("users", "clerk, trainee, user"), ("guests", "")],
)
def test_who_makes_rooms_is_a_setting(settings: Settings, whose: str, may: str) -> None:
    """A member of staff needs the permission; a guest never may."""
    settings.REALTIME = {"CREATE_ROOMS": whose}
    clerk, trainee = person("clerk", is_staff=True), person("trainee", is_staff=True)
    clerk.user.user_permissions.add(Permission.objects.get(codename="add_room"))
    for who in (clerk, trainee, person("user"), GUEST):
        allowed = who.username in may
        with nullcontext() if allowed else pytest.raises(CommandError, match="permission_denied"):
            room = management.create(who, f"Room of {who.username}", kind="public")
            assert roles(room) == {who.username: "owner"}


@pytest.mark.usefixtures("everybody_creates")
def test_a_room_is_called_by_its_title(ada: Identity) -> None:
    """A private one by nothing that could be guessed."""
    assert management.create(ada, "  Über  Tee ", kind="public").slug == "über-tee"
    assert management.create(ada, "Tea", kind="public", slug="Tea Time").slug == "tea-time"
    private = management.create(ada, "Tea", kind="private", slug="tea-3")
    assert (len(private.slug), private.title) == (16, "Tea")


@pytest.mark.usefixtures("everybody_creates")
def test_there_is_one_room_of_a_name(ada: Identity) -> None:
    management.create(ada, "Tea", kind="public")
    assert refusal(management.create, ada, "tea!", kind="public") == ErrorCode.INVALID_MESSAGE
    assert refusal(management.create, ada, "!!!", kind="public") == ErrorCode.INVALID_MESSAGE
    assert Room.objects.count() == 1


@pytest.mark.usefixtures("everybody_creates")
@pytest.mark.parametrize("name", ["secret", "nothing", "Se cret"])
def test_a_name_does_not_tell_of_a_private_room(private: Room, bob: Identity, name: str) -> None:
    """Whether it is taken by one or not, the answer and the work are the same."""
    with CaptureQueriesContext(connection) as queries:
        room = management.create(bob, name, kind="public")
    base = name.lower().replace(" ", "-")
    assert re.fullmatch(rf"{base}-[0-9a-f]{{6}}", room.slug)
    assert not any("ROLLBACK" in one["sql"] for one in queries)
    assert refusal(management.create, bob, room.slug, kind="public") == ErrorCode.INVALID_MESSAGE


@pytest.mark.usefixtures("everybody_creates")
@pytest.mark.parametrize(
    ("slug", "is_secret"),
    [
        ("0123456789abcdef", False),
        ("0123456789abcde", True),
        ("0123456789abcdef0", True),
        ("0123456789abcdeg", True),
        ("0123456789ABCDEF", True),
    ],
)
def test_only_random_names_of_private_rooms_cannot_be_guessed(
    bob: Identity, slug: str, is_secret: bool
) -> None:
    Room.objects.create(slug=slug, kind="private")
    assert (management.create(bob, "Tea", kind="public").slug != "tea") is is_secret


@pytest.mark.usefixtures("everybody_creates")
def test_the_rooms_of_a_user_are_counted_by_indexes(bob: Identity, is_postgres: bool) -> None:
    """All rooms of an earlier release are without a creator: they are not read one by one."""
    with CaptureQueriesContext(connection) as queries:
        management.create(bob, "Tea", kind="private")
    counts = [one["sql"] for one in queries if "COUNT(" in one["sql"]]
    assert counts
    with connection.cursor() as cursor:
        for sql in counts if not is_postgres else ():  # which reads small tables as a whole
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            assert "SCAN" not in str(cursor.fetchall()), sql


@pytest.mark.usefixtures("everybody_creates")
def test_titles_do_not_tell_of_a_private_room(private: Room, bob: Identity) -> None:
    """One user may give several rooms the same title, so that trying names tells nothing."""
    made = [management.create(bob, "x", kind="public", slug=slug) for slug in ("secret", "nothing")]
    assert [room.title for room in made] == ["x", "x"]
    ada = person("another")
    assert refusal(management.create, ada, "x", kind="public") == ErrorCode.INVALID_MESSAGE


@pytest.mark.usefixtures("everybody_creates")
def test_names_are_kept_where_they_tell_nothing(bob: Identity, ada: Identity) -> None:
    """Where no private room has a name that could be guessed, and for who sees all of them."""
    management.create(ada, "Hidden", kind="private")
    assert management.create(bob, "One", kind="public").slug == "one"
    Room.objects.create(slug="board", kind="private")
    assert management.create(bob, "Two", kind="public").slug != "two"
    staff = person("staff", is_staff=True)
    staff.user.user_permissions.add(Permission.objects.get(codename="moderate_room"))
    assert management.create(staff, "Three", kind="public").slug == "three"
    assert refusal(management.create, staff, "Board", kind="public") == ErrorCode.INVALID_MESSAGE


def test_the_rooms_of_a_user_are_limited(settings: Settings, ada: Identity) -> None:
    settings.REALTIME = {"CREATE_ROOMS": "users", "ROOMS_PER_USER": 1}
    management.create(ada, "One", kind="public")
    assert refusal(management.create, ada, "Two", kind="public") == ErrorCode.LIMIT_EXCEEDED


def test_the_limit_of_rooms_counts_what_was_left(
    settings: Settings, ada: Identity, bob: Identity
) -> None:
    """And what was passed on; but not what is gone, nor what others have passed on to them."""
    settings.REALTIME = {"CREATE_ROOMS": "users", "ROOMS_PER_USER": 2}
    for title in ("One", "Two"):
        room = management.create(ada, title, kind="public")
        say(room, "a")
        memberships.add(room, bob.user)
        memberships.appoint(room, bob.user, "owner", ada)
        memberships.leave(room.pk, ada)
    assert refusal(management.create, ada, "Three", kind="private") == ErrorCode.LIMIT_EXCEEDED
    management.create(bob, "Mine", kind="public")
    empty = management.create(bob, "Mine too", kind="public")
    assert refusal(management.create, bob, "More", kind="public") == ErrorCode.LIMIT_EXCEEDED
    memberships.leave(empty.pk, bob)
    management.create(bob, "More", kind="public")


def test_a_room_from_before_counts_for_its_owner(settings: Settings, ada: Identity) -> None:
    settings.REALTIME = {"CREATE_ROOMS": "users", "ROOMS_PER_USER": 1}
    room = Room.objects.create(slug="old")
    Membership.objects.create(room=room, user=ada.user, role="owner")
    assert refusal(management.create, ada, "New", kind="public") == ErrorCode.LIMIT_EXCEEDED


def test_rooms_made_at_once_are_counted(settings: Settings, ada: Identity) -> None:
    settings.REALTIME = {"CREATE_ROOMS": "users", "ROOMS_PER_USER": 3}

    def make(number: int) -> None:
        with suppress(CommandError, DatabaseError):  # also a locked SQLite
            management.create(ada, f"Room {number}", kind="public")

    together([partial(make, number) for number in range(8)])
    assert 1 <= Room.objects.count() <= 3


@pytest.mark.parametrize("is_said", [False, True])
def test_a_room_is_closed_when_its_only_owner_leaves(
    settings: Settings, ada: Identity, is_said: bool
) -> None:
    """What was said stays, but nobody goes on there without anybody who moderates."""
    settings.REALTIME = {"CREATE_ROOMS": "users"}
    room = management.create(ada, "One", kind="public")
    if is_said:
        say(room, "a")
    memberships.leave(room.pk, ada)
    left = list(Room.objects.values_list("slug", "is_read_only"))
    assert left == ([("one", True)] if is_said else [])
    if is_said:
        assert not access.rights("one", GUEST).may_post


def test_a_room_of_the_site_is_not_closed(room: Room, ada: Identity) -> None:
    Membership.objects.create(room=room, user=ada.user, role="owner")
    memberships.leave(room.pk, ada)
    room.refresh_from_db()
    assert not room.is_read_only


def test_two_users_have_one_direct_room(ada: Identity, bob: Identity) -> None:
    """Whoever asks, and whoever asks at the same moment."""
    jobs = [lambda: management.direct(ada, bob.user), lambda: management.direct(bob, ada.user)] * 3
    found = together(jobs)
    assert len({room.pk for room in found}) == 1  # type: ignore[attr-defined]
    assert roles(Room.objects.get()) == {"ada": "member", "bob": "member"}


@pytest.mark.usefixtures("everybody_creates")
def test_nobody_takes_the_name_of_a_direct_room(ada: Identity, bob: Identity) -> None:
    """What it is called follows from nothing that others know."""
    key = access.direct_key(ada.user_id, bob.user_id)
    management.create(person("mallory"), "Mine", kind="public", slug=f"direct-{key[:24]}")
    room = management.direct(ada, bob.user)
    assert management.direct(bob, ada.user) == room
    assert key[:24] not in room.slug


def test_a_direct_room_is_for_two(settings: Settings, ada: Identity, bob: Identity) -> None:
    """Not for one, nor for guests, nor where the site does not want any."""
    assert refusal(management.direct, ada, ada.user) == ErrorCode.INVALID_MESSAGE
    assert refusal(management.direct, GUEST, ada.user) == ErrorCode.PERMISSION_DENIED
    room = management.direct(ada, bob.user)
    carol = person("carol")
    assert refusal(memberships.add, room, carol.user) == ErrorCode.PERMISSION_DENIED
    assert refusal(memberships.invitation, room, ada) == ErrorCode.PERMISSION_DENIED
    settings.REALTIME = {"DIRECT_ROOMS": False}
    assert refusal(management.direct, ada, carol.user) == ErrorCode.PERMISSION_DENIED


def test_a_room_is_configured(room: Room) -> None:
    management.configure(room, title=" A  title ", slow_seconds=5, is_read_only=True)
    room.refresh_from_db()
    assert (room.title, room.slow_seconds, room.is_read_only) == ("A title", 5, True)
    management.configure(room, slow_seconds=0)
    room.refresh_from_db()
    assert (room.title, room.slow_seconds, room.is_read_only) == ("A title", 0, True)
    assert refusal(management.configure, room, slow_seconds=10**6) == ErrorCode.INVALID_MESSAGE


# Invitations.


def test_an_invitation_gives_a_place(private: Room, ada: Identity, bob: Identity) -> None:
    token = memberships.invitation(private, ada)
    assert memberships.accept(token, bob) == private
    assert memberships.accept(token, bob) == private
    assert roles(private) == {"ada": "owner", "bob": "member"}


def test_an_invitation_is_void_once_the_room_says_so(
    private: Room, ada: Identity, bob: Identity
) -> None:
    token = memberships.invitation(private, ada)
    memberships.void_invitations(private)
    assert refusal(memberships.accept, token, bob) == ErrorCode.PERMISSION_DENIED
    private.refresh_from_db()
    memberships.accept(memberships.invitation(private, ada), bob)


@pytest.mark.parametrize("change", ["demoted", "gone", "banned", "inactive", "public", "deleted"])
def test_an_invitation_is_as_good_as_who_gave_it(
    private: Room, ada: Identity, bob: Identity, change: str
) -> None:
    """And all that may be wrong with it sounds alike."""
    token = memberships.invitation(private, ada)
    match change:
        case "demoted":
            Membership.objects.update(role="member")
        case "gone":
            Membership.objects.all().delete()
        case "banned":
            actions.sanction("ban", private, ada.user_id)
        case "inactive":
            get_user_model().objects.filter(pk=ada.user_pk).update(is_active=False)
        case "public":
            Room.objects.update(kind="public")
        case "deleted":
            private.delete()
    with pytest.raises(CommandError, match="no longer valid"):
        memberships.accept(token, bob)


@pytest.mark.parametrize("told", [None, [1], [1, "x", "1"], "text", {"a": 1}])
@pytest.mark.parametrize("salt", [memberships.SALT, "another"])
def test_what_is_no_invitation_is_refused(
    private: Room, bob: Identity, told: object, salt: str
) -> None:
    token = signing.dumps(told, salt=salt)
    with pytest.raises(CommandError, match="no longer valid"):
        memberships.accept(token, bob)


@pytest.mark.parametrize("token", ["", "a", "a:b:c", "\ud800", "a" * 1000])
def test_what_is_not_signed_is_no_invitation(private: Room, bob: Identity, token: str) -> None:
    with pytest.raises(CommandError, match="no longer valid"):
        memberships.accept(token, bob)


def test_an_invitation_runs_out(
    private: Room, ada: Identity, bob: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = memberships.invitation(private, ada)
    later = (timezone.now() + timedelta(days=8)).timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    with pytest.raises(CommandError, match="no longer valid"):
        memberships.accept(token, bob)


def test_who_is_banned_gets_no_place(private: Room, ada: Identity, bob: Identity) -> None:
    actions.sanction("ban", private, bob.user_id, seconds=60)
    token = memberships.invitation(private, ada)
    assert refusal(memberships.accept, token, bob) == ErrorCode.PERMISSION_DENIED
    assert refusal(memberships.add, private, bob.user) == ErrorCode.PERMISSION_DENIED
    assert refusal(memberships.accept, token, GUEST) == ErrorCode.PERMISSION_DENIED
    assert roles(private) == {"ada": "owner"}


def test_why_somebody_is_banned_is_not_told_to_others(private: Room, ada: Identity) -> None:
    """Least of all by the whole site, to whoever has a room of their own."""
    troll = person("troll")
    actions.sanction("ban", None, troll.user_id, seconds=3600, reason="case 4711")
    with pytest.raises(CommandError) as caught:
        memberships.add(private, troll.user, ada)
    assert caught.value.message == "That user may not enter this room."
    with pytest.raises(CommandError, match=r"You are banned.*4711"):
        memberships.accept(memberships.invitation(private, ada), troll)


# Roles.


def test_an_owner_passes_a_room_on(private: Room, ada: Identity, bob: Identity) -> None:
    memberships.add(private, bob.user, ada)
    memberships.appoint(private, bob.user, "owner", ada)
    assert roles(private) == {"ada": "moderator", "bob": "owner"}


def test_an_owner_is_not_appointed_by_others(private: Room, ada: Identity, bob: Identity) -> None:
    assert (
        refusal(memberships.appoint, private, ada.user, "member", bob)
        == ErrorCode.PERMISSION_DENIED
    )
    assert refusal(memberships.appoint, private, bob.user, "member", ada) == ErrorCode.UNKNOWN_USER


def test_a_room_is_passed_on_once(private: Room, ada: Identity, bob: Identity) -> None:
    """However many sockets say so at once, before any of them hears that it is theirs no more."""
    carol = person("carol")
    for who in (bob, carol):
        memberships.add(private, who.user, ada)
    memberships.appoint(private, bob.user, "owner", ada)
    for user, role in ((carol.user, "owner"), (ada.user, "owner"), (carol.user, "moderator")):
        assert refusal(memberships.appoint, private, user, role, ada) == ErrorCode.PERMISSION_DENIED
    assert roles(private) == {"ada": "moderator", "bob": "owner", "carol": "member"}


def test_owners_who_leave_at_once_do_not_leave_a_room_alone(private: Room, ada: Identity) -> None:
    people = [person(f"user-{number}") for number in range(4)]
    start = Barrier(5)
    for who in people:
        Membership.objects.create(room=private, user=who.user, role="owner")
    memberships.add(private, person("member").user)

    def leave(who: Identity) -> None:
        Room.objects.exists()  # to be connected
        start.wait(10)
        with suppress(CommandError, DatabaseError):
            memberships.leave(private.pk, who)

    together([partial(leave, who) for who in (ada, *people)])
    assert "owner" in roles(private).values()


def test_an_owner_passes_the_room_on_before_leaving(
    private: Room, ada: Identity, bob: Identity
) -> None:
    memberships.add(private, bob.user, ada)
    assert refusal(memberships.leave, private.pk, ada) == ErrorCode.PERMISSION_DENIED
    memberships.appoint(private, bob.user, "owner", ada)
    memberships.leave(private.pk, ada)
    assert roles(private) == {"bob": "owner"}
    memberships.leave(private.pk, bob)
    assert roles(private) == {}
