"""Changes of stored messages: a change takes the next position, the message keeps its `seq`."""

from typing import Any

from django.utils import timezone

from ...models import Log, Message
from ...wire.body import BODY_FIELDS
from ..database.alias import database
from . import nonces
from .drafts import Stored
from .history import state_of
from .logs import LockedRoomLog, lock_logs

__all__ = ["EMPTIED", "delete_locked", "empty", "lock_message"]

EMPTIED = (*BODY_FIELDS, "nonce", "deleted_at")
"""The columns that `empty` changes."""


def lock_message(message_id: int) -> tuple[Message, LockedRoomLog]:
    """Return a message and the log of its room, which is locked until the transaction ends.

    The writers of all processes wait for that lock. Raises `Message.DoesNotExist`.
    """
    messages = Message.objects.using(database())
    room_id = messages.values_list("room", flat=True).get(pk=message_id)
    end = lock_logs(database(), {room_id})[room_id]
    return messages.select_related("room").get(pk=message_id), end


def delete_locked(message: Message, end: LockedRoomLog) -> Stored:
    """Delete the text, data and nonce of a message for good; a tombstone keeps its position.

    The room has to be locked. Deleting again changes nothing (`is_new` is false).
    """
    is_new = message.deleted_at is None
    if is_new:
        empty(message)
        message.changed_seq = end.last_seq + 1
        message.save(update_fields=[*EMPTIED, "changed_seq"])
        Log.objects.using(database()).filter(room=message.room_id).update(
            last_seq=message.changed_seq, deleted_at=message.deleted_at
        )
    return Stored(message.room_id, message.room.slug, state_of(message), end.epoch, is_new)


def empty(message: Message) -> None:
    """Turn a message into a tombstone: remove its body and its nonce, without saving it."""
    for name in BODY_FIELDS:
        field: Any = Message._meta.get_field(name)
        setattr(message, name, field.get_default())
    message.nonce = nonces.spent(message.room_id, message.sender, message.nonce)
    message.deleted_at = message.deleted_at or timezone.now()
