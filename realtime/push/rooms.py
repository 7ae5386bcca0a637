"""Send to all clients in a room, and store messages there."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async

from ..engine.bus.handover import Handover
from ..engine.bus.notes import Note
from ..hooks import Hooks, NewMessage, hooks
from ..models import Message, Room
from ..publications import record_message
from ..screening import screen_now
from ..spans import spans
from ..store.database.alias import database
from ..store.database.servers import on_working_server
from ..store.database.transactions import is_in_transaction, is_open, on_commit, warn_of_others
from ..store.messages.drafts import Draft
from ..store.messages.history import room_key
from ..store.messages.plain import plain
from ..store.outbox.origins import nonce_of
from ..store.outbox.pending import publish_message
from ..store.outbox.posting import draft_of, post, row_of
from ..store.rooms.access import room_id_of
from .target import Target, text_of

__all__ = ["RoomTarget", "slug_of"]


class RoomTarget(Target):
    """All clients in a room."""

    def __init__(self, room: Room | str) -> None:
        super().__init__("")
        self.slug = room if isinstance(room, str) else room.slug
        self._room_id: int | None = None if isinstance(room, str) else room.pk

    def message(
        self,
        content: str,
        *,
        user: Any = None,
        username: str = "",
        data: dict[str, Any] | None = None,
        nonce: str | None = None,
        using: str | None = None,
    ) -> Message | None:
        """Store a message and send it to the room.

        It comes from `user`, else from the site itself under the name `username`. Two calls with
        the same `nonce` store one message. Returns it, or None inside a transaction: then it is
        stored if and only if that commits, and gets its position afterwards, so that the room is
        not locked meanwhile. `data` is a dict of values that `JsonResponse` accepts. Raises what
        the database raises, and `CommandError` for `data` that is not portable JSON, or a
        text of more than 64 KiB.
        """
        content, username = text_of(content), text_of(username)
        data = None if data is None else plain(data)
        room = self._find(), str(self.slug)
        draft = draft_of(room, content, user=user, username=username, nonce=nonce, data=data)
        if (rules := hooks()).checks_messages:
            _screen(rules, draft, user)
        with spans.publish(draft.slug) as span:
            if span.origin is not None and nonce is None:
                draft.nonce = nonce_of(span.origin)
            found = _publish(draft, using)
        record_message(draft, using)
        return found

    async def amessage(self, content: str, **kwargs: Any) -> Message | None:
        """Store a message and send it to the room."""
        return await sync_to_async(self.message)(content, **kwargs)

    def _publish(self, note: Note, using: str | None) -> Handover:
        self._topic = room_key(self._find())
        return super()._publish(note, using)

    def _find(self) -> int:
        # Not before: the caller of an async twin cannot query the database.
        if self._room_id is None:
            self._room_id = _find_room(str(self.slug))
        return self._room_id


def _publish(draft: Draft, using: str | None) -> Message | None:
    ours = database()
    if using is not None and using != ours and is_in_transaction(using):
        on_commit(partial(post, draft), ours, using)
        return None
    if using is None:
        warn_of_others(ours)
    if is_open(ours):
        publish_message(draft)
        return None
    return row_of(draft, post(draft).state)


def slug_of(room: Room | str) -> str:
    if isinstance(room, str):
        _find_room(room)  # raises for a room that does not exist
        return room
    return room.slug


@on_working_server
def _find_room(slug: str) -> int:
    return room_id_of(slug)


def _screen(rules: Hooks, draft: Draft, user: Any) -> None:
    """Have the site check a message, and change it."""
    kind = _kind_of(draft.room_id) if isinstance(rules.message_data, Mapping) else ""
    message = NewMessage(
        room=draft.slug,
        room_id=draft.room_id,
        content=draft.content,
        data=draft.data,
        user_id=draft.sender,
        username=draft.username,
        user=user,
        is_pushed=True,
    )
    checked = screen_now(rules, message, kind)
    draft.content, draft.data = text_of(checked.content), checked.data


@on_working_server
def _kind_of(room_id: int) -> str:
    kinds = Room.objects.using(database()).values_list("kind", flat=True)
    return str(kinds.get(pk=room_id))
