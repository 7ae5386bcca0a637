"""Who may delete a message of a room: the policy says so, but a mute holds whatever it says."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from pytest_django import Settings

from realtime.models import Membership, Message, Room
from realtime.policy import Policy
from realtime.signals import messages_stored
from realtime.store.accounts.identity import Identity
from realtime.store.messages.drafts import Draft
from realtime.store.moderation import actions
from realtime.store.outbox import room_numbering
from realtime.store.outbox.room_batch import write_all
from realtime.store.rooms import access, deletion
from realtime.wire.errors import CommandError, ErrorCode


class OnlyModerators(Policy):
    """Users may not take back what they said."""

    def may_delete(
        self, who: Identity, room: Room, membership: Membership | None, message: Message
    ) -> bool:
        return self.may_moderate(who, room, membership)


class Everybody(Policy):
    """Whoever may write may also delete."""

    def may_delete(
        self, who: Identity, room: Room, membership: Membership | None, message: Message
    ) -> bool:
        return True


def member(room: Room, name: str, role: str = "member") -> Identity:
    user = get_user_model().objects.create(username=name)
    Membership.objects.create(room=room, user=user, role=role)
    return Identity.of(user)


def say(room: Room, who: Identity) -> int:
    return room_numbering.append([Draft.by(who, room.pk, "hi")])[0].state.id


def outcome(room: Room, who: Identity, message: int) -> ErrorCode | None:
    try:
        change = deletion.change_of(message, access.rights(room.slug, who), who)
    except CommandError as error:
        assert not Message.objects.filter(deleted_at__isnull=False).exists()
        return error.code
    write_all([change])
    assert Message.objects.get(pk=message).content == ""
    return None


@pytest.mark.parametrize(
    ("policy", "own", "of_others"),
    [
        (Policy, None, ErrorCode.PERMISSION_DENIED),
        (OnlyModerators, ErrorCode.PERMISSION_DENIED, ErrorCode.PERMISSION_DENIED),
        (Everybody, None, None),
    ],
)
def test_the_policy_says_which_messages_a_member_deletes(
    room: Room,
    settings: Settings,
    policy: type[Policy],
    own: ErrorCode | None,
    of_others: ErrorCode | None,
) -> None:
    settings.REALTIME = {"POLICY": f"{policy.__module__}.{policy.__qualname__}"}
    ada, bob = member(room, "ada"), member(room, "bob")
    assert outcome(room, ada, say(room, bob)) == of_others
    Message.objects.all().delete()
    assert outcome(room, ada, say(room, ada)) == own


def test_a_moderator_deletes_any_message(room: Room) -> None:
    assert outcome(room, member(room, "mod", "moderator"), say(room, member(room, "ada"))) is None


@pytest.mark.parametrize("policy", [Policy, Everybody])
def test_no_policy_forgets_a_mute(room: Room, settings: Settings, policy: type[Policy]) -> None:
    settings.REALTIME = {"POLICY": f"{policy.__module__}.{policy.__qualname__}"}
    ada = member(room, "ada")
    message = say(room, ada)
    actions.sanction("mute", room, ada.user_id)
    assert outcome(room, ada, message) == ErrorCode.PERMISSION_DENIED


def test_a_message_of_another_room_is_unknown(room: Room, other_room: Room) -> None:
    ada = member(room, "ada")
    assert outcome(room, ada, say(other_room, ada)) == ErrorCode.UNKNOWN_MESSAGE


def test_a_deletion_is_announced_once(room: Room) -> None:
    """With the state that clients get; deleting again changes nothing."""
    ada = member(room, "ada")
    message, heard = say(room, ada), []

    def hear(stored: Any, **_: Any) -> None:
        heard.extend(stored)

    messages_stored.connect(hear)
    try:
        for _ in range(2):
            actions.delete(message)
    finally:
        messages_stored.disconnect(hear)
    [stored] = heard
    assert (stored.room_id, stored.slug, stored.state.id) == (room.pk, room.slug, message)
    assert stored.state.deleted
