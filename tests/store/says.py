"""Messages for store tests."""

from typing import Any

from django.db import transaction

from realtime.models import Message, Room
from realtime.store.messages import changes
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox import room_numbering


def draft(room: Room, content: str = "hi", **fields: Any) -> Draft:
    return Draft(
        **{"room_id": room.pk, "content": content, "sender": "7", "username": "ada"} | fields
    )


def say(room: Room, *contents: str) -> list[Message]:
    stored = room_numbering.append([draft(room, text) for text in contents])
    found = Message.objects.in_bulk([one.state.id for one in stored])
    return [found[one.state.id] for one in stored]


def delete(message_id: int) -> Stored:
    """Delete the text of a message, without a signal or an entry of the audit log."""
    with transaction.atomic(savepoint=False):
        return changes.delete_locked(*changes.lock_message(message_id))
