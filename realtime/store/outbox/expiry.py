"""Delete the values of keys whose time is over; clients are told of it as of any deletion.

No reader compares times: a value exists until a pulse deletes it at a new position.
"""

from django.db import DatabaseError
from django.db.models.functions import Now

from ...logs import get_logger
from ...models import Entry
from ..database.alias import database
from ..database.servers import on_working_server
from ..topics.drafts import EntryDraft, Kind, StoredEntry
from . import topic_numbering

__all__ = ["expire"]

logger = get_logger("realtime.topics")

AT_ONCE = 1000
"""The most values that one call deletes."""


@on_working_server
def expire() -> int:
    """Delete values whose time is over; return how many this call has deleted.

    Several processes may call it at once: each value is checked again under the lock of its log.
    What is in a log that is locked, or beyond `AT_ONCE`, is left to a later call.
    """
    entries = Entry.objects.using(database())
    over = entries.filter(expires_at__isnull=False, expires_at__lte=Now()).order_by("expires_at")
    drafts = [
        EntryDraft(topic=str(topic), kind=Kind.EXPIRE, key=key)
        for topic, key in over.values_list("log__name", "key")[:AT_ONCE]
    ]
    if not drafts:
        return 0
    try:
        return _delete(drafts)
    except DatabaseError as error:
        logger.warning("%d expired values are deleted topic by topic: %r", len(drafts), error)
    topics: dict[str, list[EntryDraft]] = {}
    for draft in drafts:
        topics.setdefault(draft.topic, []).append(draft)
    return sum(_delete_alone(some) for some in topics.values())


def _delete_alone(drafts: list[EntryDraft]) -> int:
    try:
        return _delete(drafts)
    except DatabaseError as error:
        logger.warning("topic %s: its expired values wait: %r", drafts[0].topic, error)
        return 0


def _delete(drafts: list[EntryDraft]) -> int:
    outcomes = topic_numbering.append(drafts, announces=True)
    return sum(isinstance(one, StoredEntry) and one.is_new for one in outcomes)
