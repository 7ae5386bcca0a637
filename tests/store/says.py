"""Messages for store tests."""

from typing import Any

from realtime.models import Message, Room
from realtime.store.messages import log
from realtime.store.messages.log import Draft


def draft(room: Room, content: str = "hi", **fields: Any) -> Draft:
    return Draft(
        **{"room_id": room.pk, "content": content, "sender": "7", "username": "ada"} | fields
    )


def say(room: Room, *contents: str) -> list[Message]:
    stored = log.append([draft(room, text) for text in contents])
    found = Message.objects.in_bulk([one.state.id for one in stored])
    return [found[one.state.id] for one in stored]
