"""Store a single message of the site's code; the writer stores those of clients."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils.timezone import make_naive

from ...models import Message
from ...signals import messages_stored
from ...wire.body import fields_of
from ...wire.errors import CommandError, ErrorCode
from ...wire.events import MessageState
from ..accounts.identity import SITE, Identity, fault_of_key
from ..database.alias import database
from ..database.servers import is_temporary, on_working_server
from ..messages.drafts import Draft, Stored
from .origins import stored_by
from .room_numbering import append

__all__ = ["draft_of", "post", "row_of"]


def draft_of(
    room: tuple[int, str],
    content: str,
    *,
    user: Any = None,
    username: str = "",
    nonce: str | None = None,
    **body: Any,
) -> Draft:
    """Return the draft of a message of `user`, or of the site itself under a name.

    `room` is a primary key and a slug, `body` are the other fields of a `Body`. Raises
    `CommandError` with `invalid_message` for a user whose key cannot be stored.
    """
    identity = Identity(SITE + username, username) if user is None else Identity.of(user)
    if fault := fault_of_key(identity, is_bounded=connections[database()].vendor != "sqlite"):
        raise CommandError(ErrorCode.INVALID_MESSAGE, fault)
    room_id, slug = room
    return Draft.by(identity, room_id, content, nonce=nonce, slug=slug, **body)


def post(draft: Draft) -> Stored:
    """Store a message and send the signal, once for each message that is new.

    Raises what the database raises.
    """
    stored = stored_by(draft, _append_with_retry(draft))
    if stored.is_new:
        # Robust: a caller that gets an exception repeats the message, and would store it twice.
        messages_stored.send_robust(None, stored=[stored])
    return stored


def _append_with_retry(draft: Draft) -> Stored:
    try:
        return _append(draft)
    except DatabaseError as error:  # the nonce makes a second attempt safe
        if connections[database()].in_atomic_block or not is_temporary(error):
            raise
    # A message that the second attempt finds counts as new, because it was not published.
    return _append(draft)._replace(is_new=True)


@on_working_server
def _append(draft: Draft) -> Stored:
    [stored] = append([draft])
    return stored


def row_of(draft: Draft, state: MessageState) -> Message:
    """Return the row of a message that was just stored, without a query.

    A query could fail, and that would look as if the message were not stored.
    """
    row = {
        "id": state.id,
        "room_id": draft.room_id,
        "seq": state.seq,
        "changed_seq": state.position,
        "sender": draft.sender,
        "user_id": draft.user_pk,
        "username": state.username,
        "nonce": draft.nonce,
        "created_at": _moment(state.created_at),
        **fields_of(state),
        "content": state.content or "",
    }
    # `from_db` takes the fields in the order of the table, and leaves out the others.
    fields = [one.attname for one in Message._meta.concrete_fields if one.attname in row]
    return Message.from_db(database(), fields, [row[name] for name in fields])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if settings.USE_TZ else make_naive(moment)
