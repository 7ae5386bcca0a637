"""What the commands of a moderator do to a user of the room, and to whom they do nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from realtime.models import Membership, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.store.rooms import access, sanctioning
from realtime.wire.commands import Ban, Kick, Mute, Unban, Unmute
from realtime.wire.errors import CommandError, ErrorCode

AGAINST: list[Callable[..., Any]] = [Kick, Ban, Mute]
LIFTING: list[Callable[..., Any]] = [Unban, Unmute]


def member(room: Room, name: str, role: str = "member") -> Identity:
    user = get_user_model().objects.create(username=name)
    Membership.objects.create(room=room, user=user, role=role)
    return Identity.of(user)


@pytest.fixture
def moderator(room: Room) -> Identity:
    return member(room, "mod", "moderator")


def outcome(room: Room, by: Identity, command: Any, *, is_here: bool = False) -> object:
    """The note of a command, or the code of its refusal."""
    rights = access.rights(room.slug, by)
    try:
        return sanctioning.apply(command, rights, by, is_here=is_here)
    except CommandError as error:
        return error.code


@pytest.mark.parametrize("kind", [*AGAINST, *LIFTING])
def test_a_member_is_sanctioned(room: Room, moderator: Identity, kind: Callable[..., Any]) -> None:
    ada = member(room, "ada")
    assert outcome(room, moderator, kind(room=room.slug, user_id=ada.user_id)) is None
    found = {(one.kind, one.user_key, one.username) for one in Sanction.objects.all()}
    expected = {Kick: "ban", Ban: "ban", Mute: "mute"}
    assert found == ({(expected[kind], ada.user_id, "ada")} if kind in expected else set())


def test_a_lifted_sanction_is_gone(room: Room, moderator: Identity) -> None:
    """A mute stays where a ban is lifted."""
    ada = member(room, "ada")
    for kind in (Ban, Mute, Unban):
        assert outcome(room, moderator, kind(room=room.slug, user_id=ada.user_id)) is None
    assert Sanction.objects.get().kind == "mute"


@pytest.mark.parametrize("kind", [*AGAINST, *LIFTING])
def test_nobody_sanctions_themselves(
    room: Room, moderator: Identity, kind: Callable[..., Any]
) -> None:
    command = kind(room=room.slug, user_id=moderator.user_id)
    assert outcome(room, moderator, command) == ErrorCode.PERMISSION_DENIED


@pytest.mark.parametrize("kind", AGAINST)
def test_a_moderator_does_not_sanction_another_one(
    room: Room, moderator: Identity, kind: Callable[..., Any]
) -> None:
    command = kind(room=room.slug, user_id=member(room, "top", "owner").user_id)
    assert outcome(room, moderator, command) == ErrorCode.PERMISSION_DENIED
    assert not Sanction.objects.exists()


@pytest.mark.parametrize("kind", AGAINST)
def test_a_deleted_user_gets_no_new_sanction(
    room: Room, moderator: Identity, kind: Callable[..., Any]
) -> None:
    """Though the room knows the user by a message; what is there can be lifted."""
    ada = member(room, "ada")
    room_numbering.append([Draft.by(ada, room.pk, "hi")])
    outcome(room, moderator, Mute(room=room.slug, user_id=ada.user_id))
    ada.user.delete()
    command = kind(room=room.slug, user_id=ada.user_id)
    assert outcome(room, moderator, command) == ErrorCode.UNKNOWN_USER
    assert outcome(room, moderator, Unmute(room=room.slug, user_id=ada.user_id)) is None
    assert not Sanction.objects.exists()


def test_a_guest_must_have_been_seen(room: Room, moderator: Identity) -> None:
    command = Ban(room=room.slug, user_id="guest:a")
    assert outcome(room, moderator, command) == ErrorCode.UNKNOWN_USER
    assert outcome(room, moderator, command, is_here=True) is None


def test_a_moderator_is_told_that_no_address_is_known(room: Room, moderator: Identity) -> None:
    ada = member(room, "ada")
    command = Ban(room=room.slug, user_id=ada.user_id, address=True)
    assert outcome(room, moderator, command) == sanctioning.BY_NAME
    assert Sanction.objects.get().address == ""
