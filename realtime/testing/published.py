"""What the site's code has published: the messages of a room."""

from typing import Any

from asgiref.sync import sync_to_async

from ..models import Message, Room
from ..store.database.alias import database
from ..store.messages.history import state_of
from ..wire.events import MessageState
from .encoding import plain

__all__ = ["aassert_published", "apublished", "assert_published", "published"]


def published(room: Room | str) -> list[MessageState]:
    """Return the messages of a room, given as a row or by its slug, in their order."""
    slug = room if isinstance(room, str) else room.slug
    rows = Message.objects.using(database()).filter(room__slug=slug).order_by("seq")
    return [state_of(row) for row in rows]


def assert_published(room: Room | str, **fields: Any) -> MessageState:
    """Return the newest message of a room with these fields; fail if there is none."""
    found = published(room)
    wanted = plain(fields)
    for state in reversed(found):
        if _has(state, wanted):
            return state
    raise AssertionError(_missing(room, fields, found))


async def apublished(room: Room | str) -> list[MessageState]:
    """Return the messages of a room."""
    return await sync_to_async(published)(room)


async def aassert_published(room: Room | str, **fields: Any) -> MessageState:
    """Return the newest message of a room with these fields."""
    return await sync_to_async(assert_published)(room, **fields)


def _has(state: MessageState, wanted: dict[str, Any]) -> bool:
    return all(plain(getattr(state, name)) == value for name, value in wanted.items())


def _missing(room: Room | str, fields: dict[str, Any], found: list[MessageState]) -> str:
    lines = [f"No message with {fields} was published in {room}."]
    if not found:
        return f"{lines[0]} Nothing was: inside of a transaction use `committing`."
    return "\n".join([f"{lines[0]} There are:", *(f"  {plain(one)}" for one in found)])
