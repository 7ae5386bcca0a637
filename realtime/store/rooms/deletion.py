"""Deletion of a message by a user of its room."""

from functools import partial

from django.utils.translation import gettext_lazy as _

from ...models import Message
from ...policy import policy
from ..accounts.identity import Identity
from ..database.alias import database
from ..moderation import actions
from ..outbox.room_batch import Change
from .access import RoomAccess, denied, membership_of

__all__ = ["change_of"]


def change_of(message_id: int, access: RoomAccess, identity: Identity) -> Change:
    """Return the change that deletes a message's text, for the writer.

    The policy and the user's access to the room must allow it. Raises `CommandError` with
    `unknown_message` or `permission_denied`.
    """
    messages = Message.objects.using(database()).select_related("room")
    message = messages.filter(pk=message_id, room=access.room_id).first()
    if message is None:
        raise actions.unknown_message()
    _check(message, access, identity)
    return Change(access.room_id, partial(actions.apply_deletion, message_id, identity))


def _check(message: Message, access: RoomAccess, identity: Identity) -> None:
    room = message.room
    if not policy().may_delete(identity, room, membership_of(identity, room.pk), message):
        is_own = message.sender == identity.user_id
        others = _("Only moderators can delete messages of other users.")
        raise denied(access.refusal if is_own else others, room)
    # A mute applies with any policy.
    if not (access.may_moderate or access.may_post or access.is_closed):
        raise denied(access.refusal, room)
