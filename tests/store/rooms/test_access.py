"""Finding a room, and what an identity may do there."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from realtime.models import Log, Membership, Room
from realtime.policy import Policy
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history
from realtime.store.rooms import access
from realtime.store.rooms.access import AccessRequest
from realtime.wire.errors import CommandError, ErrorCode

GUEST = Identity("guest:1", "Guest")


@pytest.fixture
def ada() -> Identity:
    return Identity.of(get_user_model().objects.create(username="ada"))


@pytest.fixture
def private() -> Room:
    return Room.objects.create(slug="private", kind=Room.Kind.PRIVATE)


def refused(slug: str, who: Identity) -> ErrorCode:
    codes = set()
    for ask in (access.enter, access.rights):
        with pytest.raises(CommandError) as caught:
            ask(slug, who)
        assert caught.value.room == slug
        codes.add(caught.value.code)
    [code] = codes
    return code


def test_a_user_enters_a_public_room_and_becomes_a_member(room: Room, ada: Identity) -> None:
    entry = access.enter("general", ada)
    assert (entry.room_id, entry.slug, entry.role) == (room.pk, "general", "member")
    assert (entry.may_read_history, entry.may_post, entry.may_signal) == (True, True, True)
    assert Membership.objects.get().user == ada.user


def test_entering_again_keeps_the_one_membership(room: Room, ada: Identity) -> None:
    Membership.objects.create(room=room, user=ada.user, role="owner", read_seq=7)
    assert [access.enter("general", ada).role for _ in range(2)] == ["owner", "owner"]
    assert Membership.objects.get().read_seq == 7


def test_a_guest_enters_a_public_room_without_a_membership(room: Room) -> None:
    assert access.enter("general", GUEST).role == "guest"
    assert not Membership.objects.exists()


def test_asking_for_rights_changes_nothing(room: Room, ada: Identity) -> None:
    assert access.rights("general", ada).role == "member"
    assert not Membership.objects.exists()


@pytest.mark.parametrize("kind", ["private", "direct"])
def test_a_room_one_does_not_belong_to_is_unknown(ada: Identity, kind: str) -> None:
    key = access.direct_key("1", "2") if kind == "direct" else None
    Room.objects.create(slug="hidden", kind=kind, direct_key=key)
    assert refused("hidden", ada) == refused("hidden", GUEST) == ErrorCode.UNKNOWN_ROOM
    assert not Membership.objects.exists()


def test_a_hidden_room_is_refused_in_the_words_of_a_missing_one(
    private: Room, ada: Identity
) -> None:
    messages = set()
    for slug in ("private", "missing"):
        with pytest.raises(CommandError) as caught:
            access.enter(slug, ada)
        messages.add((caught.value.code, caught.value.message))
    assert len(messages) == 1


@pytest.mark.parametrize("slug", ["", "x" * 300, "GENERAL", "general ", "%", "שלום", "'; --"])
def test_a_slug_that_nobody_has_is_unknown(room: Room, ada: Identity, slug: str) -> None:
    assert refused(slug, ada) == ErrorCode.UNKNOWN_ROOM


def test_members_enter_their_private_room(private: Room, ada: Identity) -> None:
    Membership.objects.create(room=private, user=ada.user, role="moderator")
    assert access.enter("private", ada).role == "moderator"


def test_a_removed_member_cannot_enter_again(private: Room, ada: Identity) -> None:
    membership = Membership.objects.create(room=private, user=ada.user)
    access.enter("private", ada)
    membership.delete()
    assert refused("private", ada) == ErrorCode.UNKNOWN_ROOM


def test_rights_come_with_the_number_they_were_decided_under(room: Room, ada: Identity) -> None:
    assert access.enter("general", ada).rights_seq == 0
    Log.objects.filter(room=room.pk).update(rights_seq=5)
    assert access.rights("general", ada).rights_seq == 5


@pytest.mark.parametrize("enter", [access.enter, access.rights])
def test_entering_costs_few_queries(room: Room, ada: Identity, enter: object) -> None:
    access.enter("general", ada)
    with CaptureQueriesContext(connection) as queries:
        enter("general", ada)  # type: ignore[operator]
    assert len(queries) <= 3  # the room, the membership, and what is against them


class Closed(Policy):
    def may_join(self, *args: object) -> bool:
        return False


class ReadOnly(Policy):
    def may_post(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        return membership is not None and membership.role != "member"

    def may_read_history(self, *args: object) -> bool:
        return False

    def may_signal(self, *args: object) -> bool:
        return False


def test_the_policy_may_close_a_room_that_is_seen(
    room: Room, ada: Identity, settings: Settings
) -> None:
    settings.REALTIME = {"POLICY": f"{__name__}.Closed"}
    assert refused("general", ada) == ErrorCode.PERMISSION_DENIED
    assert not Membership.objects.exists()


def test_the_policy_decides_each_right(room: Room, ada: Identity, settings: Settings) -> None:
    settings.REALTIME = {"POLICY": f"{__name__}.ReadOnly"}
    entry = access.enter("general", ada)
    assert (entry.may_post, entry.may_read_history, entry.may_signal) == (False, False, False)
    Membership.objects.update(role="owner")
    assert access.rights("general", ada).may_post


def test_the_key_of_a_direct_room_is_the_same_from_both_sides() -> None:
    assert access.direct_key("1", "2") == access.direct_key("2", "1")
    assert len(access.direct_key("1", "2")) <= 64


@pytest.mark.parametrize("pair", [("1", "3"), ("1", "1"), ("", "12"), ("12", "")])
def test_other_pairs_have_other_keys(pair: tuple[str, str]) -> None:
    assert access.direct_key(*pair) != access.direct_key("1", "2")


def test_two_users_have_one_direct_room() -> None:
    key = access.direct_key("1", "2")
    Room.objects.create(slug="a", kind="direct", direct_key=key)
    with pytest.raises(IntegrityError):
        Room.objects.create(slug="b", kind="direct", direct_key=key)


@pytest.mark.parametrize(("kind", "key"), [("direct", None), ("public", "k"), ("secret", None)])
def test_a_room_that_makes_no_sense_cannot_be_stored(kind: str, key: str | None) -> None:
    with pytest.raises(IntegrityError):
        Room.objects.create(slug="a", kind=kind, direct_key=key)


def test_reading_moves_the_mark_forward_only(room: Room, ada: Identity) -> None:
    access.enter("general", ada)
    Log.objects.update(last_seq=9)
    for seq, expected in ((5, 5), (3, 5), (9, 9), (10, 9)):
        access.mark_read(room.pk, ada.user_pk, seq)
        assert Membership.objects.get().read_seq == expected


def test_a_room_without_a_head_gets_one_on_entering(room: Room, ada: Identity) -> None:
    assert access.enter("general", ada).rights_seq == 0
    assert Log.objects.filter(room=room.pk).exists()


def test_every_change_of_rights_is_counted(room: Room, ada: Identity) -> None:
    access.enter("general", GUEST)
    membership = Membership.objects.create(room=room, user=ada.user)
    seen = [history.mark(room.pk).rights_seq]
    membership.role = "owner"
    membership.save()
    seen.append(history.mark(room.pk).rights_seq)
    membership.delete()
    seen.append(history.mark(room.pk).rights_seq)
    room.kind = Room.Kind.PRIVATE
    room.save()
    seen.append(history.mark(room.pk).rights_seq)
    assert seen == [1, 2, 3, 4]


def test_a_change_of_rights_that_is_rolled_back_is_not_counted(room: Room, ada: Identity) -> None:
    access.enter("general", GUEST)
    with transaction.atomic():
        Membership.objects.create(room=room, user=ada.user)
        transaction.set_rollback(True)
    assert history.mark(room.pk).rights_seq == 0


def test_entering_a_public_room_changes_nobodys_rights(room: Room, ada: Identity) -> None:
    access.enter("general", ada)
    assert history.mark(room.pk).rights_seq == 0


def test_a_deleted_user_leaves_his_rooms(private: Room, ada: Identity) -> None:
    Membership.objects.create(room=private, user=ada.user)
    before = access.enter("private", ada).rights_seq
    ada.user.delete()
    assert history.mark(private.pk).rights_seq > before


def asks(*asked: tuple[str, Identity]) -> list[AccessRequest]:
    return [AccessRequest(slug, who) for slug, who in asked]


def test_many_enter_in_a_few_queries(room: Room, private: Room) -> None:
    """However many ask, for however many rooms."""
    users = [get_user_model().objects.create(username=str(number)) for number in range(10)]
    asked = [
        AccessRequest(slug, Identity.of(user)) for slug in ("general", "private") for user in users
    ]
    asked += asks(("general", GUEST), ("nowhere", GUEST))
    Membership.objects.create(room=private, user=users[0], role="owner")
    access.rights("general", GUEST)
    access.rights("private", Identity.of(users[0]))  # they have heads now
    with CaptureQueriesContext(connection) as queries:
        verdicts = access.enter_all(asked)
    assert len([one for one in queries if one["sql"].startswith(("SELECT", "INSERT"))]) == 4
    entered = [
        ask.slug for ask, verdict in verdicts.items() if isinstance(verdict, access.RoomAccess)
    ]
    assert entered == ["general"] * 10 + ["private", "general"]
    refused = [verdict for verdict in verdicts.values() if isinstance(verdict, CommandError)]
    assert {one.code for one in refused} == {ErrorCode.UNKNOWN_ROOM}
    assert room.memberships.count() == 10
    assert private.memberships.get().user == users[0]


class Picky(Policy):
    """Fails for one of those who ask, and asks the user of each what it may do."""

    def may_join(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        if identity.username == "bad":
            raise ZeroDivisionError
        return True

    def may_post(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        return getattr(identity.user, "scope", "") == "write"


def test_a_policy_that_fails_for_one_fails_for_nobody_else(room: Room, settings: Settings) -> None:
    """They only happen to ask at the same time."""
    settings.REALTIME = {"POLICY": f"{__name__}.Picky"}
    bad, good = asks(
        ("general", Identity("guest:2", "bad")), ("general", Identity("guest:1", "good"))
    )
    verdicts = access.enter_all([bad, good])
    assert isinstance(verdicts[good], access.RoomAccess)
    assert isinstance(verdicts[bad], ZeroDivisionError)


def test_one_user_may_have_other_rights_on_another_connection(
    room: Room, settings: Settings
) -> None:
    """As with two tokens of different scope: Django takes both users for the same."""
    settings.REALTIME = {"POLICY": f"{__name__}.Picky"}
    user = get_user_model().objects.create(username="ada")
    asked = []
    for scope in ("write", "read"):
        one = get_user_model().objects.get(pk=user.pk)
        one.scope = scope
        asked.append(AccessRequest("general", Identity.of(one)))
    verdicts = access.enter_all(asked)
    found = [
        verdict.may_post for verdict in verdicts.values() if isinstance(verdict, access.RoomAccess)
    ]
    assert found == [True, False]


def test_a_deleted_user_takes_nobody_along(room: Room, ada: Identity) -> None:
    """Its connection lives on until somebody looks."""
    gone = get_user_model().objects.create(username="gone")
    ask_of_gone, ask_of_ada = asks(("general", Identity.of(gone)), ("general", ada))
    get_user_model().objects.filter(pk=gone.pk).delete()
    verdicts = access.enter_all([ask_of_gone, ask_of_ada])
    assert isinstance(verdicts[ask_of_gone], IntegrityError)
    assert isinstance(verdicts[ask_of_ada], access.RoomAccess)
    assert room.memberships.get().user == ada.user


def test_a_key_of_another_type_finds_its_membership(private: Room, ada: Identity) -> None:
    """As the users that tokens give: what they say of their key is text."""
    Membership.objects.create(room=private, user=ada.user, role="owner")
    user = get_user_model()(pk=str(ada.user_pk), username="ada")
    assert access.enter("private", Identity.of(user)).role == "owner"


def test_what_cannot_be_a_key_is_no_member(room: Room, private: Room, ada: Identity) -> None:
    """And fails nobody else."""
    strange = Identity.of(get_user_model()(pk="not a number", username="strange"))
    of_strange, of_ada = asks(("private", strange), ("general", ada))
    verdicts = access.enter_all([of_strange, of_ada])
    assert isinstance(verdicts[of_strange], CommandError)
    assert isinstance(verdicts[of_ada], access.RoomAccess)


@pytest.mark.parametrize("kind", ["user", "guest", "staff"])
def test_a_hidden_room_takes_the_work_of_a_missing_one(kind: str) -> None:
    """The same queries, also for its first visitor: else the time would tell of it."""
    users = get_user_model().objects
    owner = users.create(username="owner")
    Membership.objects.create(room=Room.objects.create(slug="board", kind="private"), user=owner)
    statements = []
    for slug in ("board", "nothing"):
        user = users.create(username=slug, is_staff=kind == "staff")
        who = GUEST if kind == "guest" else Identity.of(user)
        with CaptureQueriesContext(connection) as queries:
            assert refused(slug, who) == ErrorCode.UNKNOWN_ROOM
        statements.append([re.sub(r"\d+|'[^']*'", "?", one["sql"]) for one in queries])
    assert statements[0] == statements[1]


def test_a_policy_that_fails_about_missing_rooms_hides_them(
    settings: Settings, ada: Identity
) -> None:
    settings.REALTIME = {"POLICY": "tests.store.rooms.test_access.Failing"}
    assert refused("nothing", ada) == ErrorCode.UNKNOWN_ROOM


class Failing(Policy):
    def may_see(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        return Room.objects.get(pk=room.pk) is not None
