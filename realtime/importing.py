"""Import the messages of another chat into a room, with their dates and senders.

    from realtime.importing import OldMessage, import_messages

    import_messages(room, (
        OldMessage(row.text, row.sent_at, user=row.author, nonce=f"old-{row.pk}")
        for row in OldRow.objects.order_by("sent_at").iterator()
    ))

Messages are numbered in the given order, after those of the room. Connected clients get them
within a pulse.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.timezone import is_aware

from .models import Message, Room
from .store.accounts.identity import SITE, Identity, fault_of_key
from .store.database.servers import on_working_server
from .store.messages import rows
from .store.messages.drafts import Draft
from .store.messages.plain import plain
from .wire.body import fields_of

__all__ = ["OldMessage", "check_messages", "import_messages"]

BATCH = 500
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class OldMessage:
    """A message of another chat.

    The sender is `user`, else `sender` (the `user_id` of the protocol), else the site itself;
    `username` is the name that is shown. With a `nonce`, such as its old id, it is stored once,
    however often the import is repeated.
    """

    content: str
    created_at: datetime
    user: Any = None
    sender: str = ""
    username: str = ""
    data: dict[str, Any] | None = None
    nonce: str | None = None


def import_messages(room: Room | str, messages: Iterable[OldMessage]) -> int:
    """Store messages in the order given; return how many were not there yet.

    Each batch of 500 is a separate transaction, so that the room is never locked for long. After an
    error, the earlier batches stay stored; a second import repeats them, unless they have a nonce.
    `data` is a dict of values that Django's `JsonResponse` accepts. Raises `ValueError` for a
    message that cannot be stored, and `CommandError` for `data` that is not portable JSON.
    """
    room_id, left = _find(room), iter(messages)
    number = 0
    while batch := [_draft(room_id, one) for one in islice(left, BATCH)]:
        number += _store(batch)
    return number


def check_messages(room: Room, messages: Iterable[OldMessage]) -> None:
    """Raise what `import_messages` would raise, and store nothing."""
    for one in messages:
        _draft(room.pk, one)


@on_working_server
def _find(room: Room | str) -> int:
    if isinstance(room, Room):
        return room.pk
    return Room.objects.get(slug=room).pk


@on_working_server
def _store(drafts: list[Draft]) -> int:
    return rows.import_drafts(drafts)


def _draft(room_id: int, one: OldMessage) -> Draft:
    identity = _sender(one)
    _check(one, identity)
    fields = fields_of(one)
    fields["data"] = None if one.data is None else plain(one.data)
    draft = Draft.by(identity, room_id, nonce=one.nonce, **fields)
    draft.created_at = one.created_at
    return draft


def _sender(one: OldMessage) -> Identity:
    if one.user is None:
        return Identity(one.sender or SITE + one.username, one.username)
    if not hasattr(one.user, "pk"):
        raise ValueError(f"user must be a user, not {type(one.user).__name__}")
    identity = Identity.of(one.user)
    return Identity(identity.user_id, one.username or identity.username, identity.user)


def _check(one: OldMessage, identity: Identity) -> None:
    if fault := fault_of_key(identity, is_bounded=True):
        raise ValueError(fault)
    _check_moment(one.created_at)
    fields = {"sender": identity.user_id, "username": identity.username}
    if one.nonce is not None:
        fields["nonce"] = one.nonce
    for name, text in {"content": one.content, **fields}.items():
        _check_text(name, text)
    if one.nonce == "":
        raise ValueError("nonce must be None or unique: with an empty one, one message is stored")
    if len(one.content.encode()) > MAX_BYTES:
        raise ValueError(f"a text may have at most {MAX_BYTES} bytes")
    for name, text in fields.items():
        field: Any = Message._meta.get_field(name)
        if len(text) > field.max_length:
            raise ValueError(f"{name} may have at most {field.max_length} characters")


def _check_moment(moment: Any) -> None:
    if not isinstance(moment, datetime):
        raise ValueError(f"created_at must be a datetime, not {type(moment).__name__}")
    if is_aware(moment) is not settings.USE_TZ:
        wanted = "with" if settings.USE_TZ else "without"
        raise ValueError(f"created_at must be {wanted} a time zone, as USE_TZ says")
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"created_at {moment} is not within the years 1 to 9999 in UTC") from None


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, (str, Promise)):
        raise ValueError(f"{name} must be a string, not {type(text).__name__}")
    if "\0" in str(text):
        raise ValueError(f"{name} must not contain NUL")
