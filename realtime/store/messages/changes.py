"""Changing what was said: a change takes the room's next position, the message keeps its place."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from ...models import Head, Message
from ...wire.body import BODY_FIELDS
from ..database.alias import database
from . import nonces
from .history import state_of
from .log import Stored, lock_heads

__all__ = ["EMPTIED", "delete", "empty"]

EMPTIED = (*BODY_FIELDS, "nonce", "deleted_at")
"""The columns that `empty` changes."""


def delete(message_id: int) -> Stored:
    """Delete a message's text, data and nonce for good; a tombstone keeps its place in the log.

    Deleting again changes nothing (`is_new` is false). Raises `Message.DoesNotExist`.
    """
    alias = database()
    messages = Message.objects.using(alias)
    room_id, slug = messages.values_list("room", "room__slug").get(pk=message_id)
    with transaction.atomic(using=alias):
        end = lock_heads(alias, {room_id})[room_id]
        message = messages.get(pk=message_id)
        if message.deleted_at is not None:
            return Stored(room_id, slug, state_of(message), end.epoch, is_new=False)
        empty(message)
        message.changed_seq = end.last_seq + 1
        message.save(update_fields=[*EMPTIED, "changed_seq"])
        Head.objects.using(alias).filter(pk=room_id).update(
            last_seq=message.changed_seq, deleted_at=message.deleted_at
        )
    return Stored(room_id, slug, state_of(message), end.epoch, is_new=True)


def empty(message: Message) -> None:
    """Make a message a tombstone: remove its body and its nonce, without saving it."""
    for name in BODY_FIELDS:
        field: Any = Message._meta.get_field(name)
        setattr(message, name, field.get_default())
    message.nonce = nonces.spent(message.room_id, message.sender, message.nonce)
    message.deleted_at = message.deleted_at or timezone.now()
