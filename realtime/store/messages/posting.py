"""Storing a single message, for the site's own code; the writer stores those of clients."""

from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, OperationalError, connections
from django.utils.timezone import make_naive

from ...models import Message
from ...wire.body import fields_of
from ...wire.events import MessageState
from ..database.alias import database
from ..database.servers import is_fault, on_working_server
from . import log
from .log import Draft, Stored

__all__ = ["post", "row_of"]


def post(draft: Draft) -> Stored:
    """Store a message, with a second attempt after a failure that may pass.

    What a second attempt finds counts as new: nobody may have heard of the first one. Raises
    what the database raises.
    """
    try:
        return _append(draft)
    except DatabaseError as error:  # the nonce allows another try
        if connections[database()].in_atomic_block or not _may_pass(error):
            raise
    return _append(draft)._replace(is_new=True)


@on_working_server
def _append(draft: Draft) -> Stored:
    [stored] = log.append([draft])
    return stored


def _may_pass(error: DatabaseError) -> bool:
    """Return whether it is a deadlock, a lost connection, or a server that is not the primary."""
    return isinstance(error, OperationalError) or is_fault(error)


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
        "user_id": draft.user_id,
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
