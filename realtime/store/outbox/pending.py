"""Publish in the caller's transaction (transactional outbox).

On PostgreSQL a row in `Pending` is written, and no log is locked: the event exists if and only if
the transaction commits. After the commit it is numbered, by the engine of this process or else by
its `sequencer`; what is left, the next pulse of any process numbers. SQLite has one writer, so the
entry gets its position in the caller's transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.db.models.functions import Now

from ...logs import get_logger
from ...models import Pending, Room
from ...signals import entries_pending, messages_stored
from ..database.alias import database
from ..database.servers import is_fault, on_working_server
from ..database.transactions import (
    is_in_transaction,
    is_open,
    on_commit,
    warn_of_others,
    will_run,
)
from ..messages.drafts import Draft
from ..topics import rows
from ..topics.drafts import EntryDraft, check
from . import pending_entries, pending_messages, room_numbering, topic_numbering
from .attempts import attempt_each
from .origins import stored_by
from .sequencer import sequencer

__all__ = ["publish", "publish_message", "sweep"]

logger = get_logger("realtime.topics")

SWEEP_SECONDS = 1
SWEPT_AT_ONCE = 10_000
NUMBERED = (*rows.KINDS, Pending.Kind.MESSAGE)
"""The kinds of rows that this version numbers; it leaves others to a newer one."""


@dataclass
class Waiting:
    """What the open transaction of a connection has published."""

    alias: str
    topics: set[str] = field(default_factory=set)
    rooms: set[int] = field(default_factory=set)
    is_done: bool = False

    @cached_property
    def gathering(self) -> pending_entries.Gathering:
        """The drafts that are written into the transaction."""
        return pending_entries.Gathering(self.alias, self.number)

    def number(self) -> None:
        """Number all that the transaction has published; the first hook that runs does so."""
        if not self.is_done:
            self.is_done = True
            _number(frozenset(self.topics), frozenset(self.rooms))


_waiting: WeakKeyDictionary[Any, Waiting] = WeakKeyDictionary()


def publish(drafts: Sequence[EntryDraft], *, using: str | None = None) -> None:
    """Publish drafts with the open transaction; without one, they are stored on return.

    `using` names another database whose transaction must commit as well; then they are written
    after both commits. Raises `CommandError` for a draft that cannot be stored, and what the
    database raises.
    """
    for draft in drafts:
        check(draft)
    if not drafts:
        return
    ours = database()
    if using is None:
        warn_of_others(ours)
    if using is not None and using != ours and is_in_transaction(using):
        on_commit(partial(_publish_now, ours, drafts), ours, using)
    else:
        _publish_now(ours, drafts)


def _publish_now(ours: str, drafts: Sequence[EntryDraft]) -> None:
    if is_open(ours) and connections[ours].vendor != "sqlite":
        waiting = _number_after_commit(ours, {draft.topic for draft in drafts}, ())
        waiting.gathering.publish(drafts)
    else:
        _publish(ours, drafts)


@on_working_server
def _publish(alias: str, drafts: Sequence[EntryDraft]) -> None:
    if connections[alias].vendor == "sqlite":
        topic_numbering.append(drafts, announces=True)
    else:
        # Not appended: many publishers would wait for each other, each for the locks of its logs.
        pending_entries.insert(alias, drafts)
        _number(frozenset(draft.topic for draft in drafts), frozenset())


def publish_message(draft: Draft) -> None:
    """Publish a message with the transaction that is open; it has no position before the commit.

    Raises `CommandError` for a draft that cannot be stored, and `Room.DoesNotExist`.
    """
    alias = database()
    pending_messages.check(draft)
    if connections[alias].vendor != "sqlite":
        pending_messages.insert(alias, draft)
        _number_after_commit(alias, (), [draft.room_id])
        return
    # A missing room would only be found at the commit, which would then fail.
    Room.objects.using(alias).only("pk").get(pk=draft.room_id)
    stored = [stored_by(draft, one) for one in room_numbering.append([draft]) if one.is_new]
    messages_stored.send_robust(None, stored=stored)


# After the commit.


@on_working_server
def sweep() -> int:
    """Number what has waited for a second; return how many rows there were.

    Each pulse calls it: the publisher may have ended, or has no hook for the end of its
    transaction. So do publishers without an engine, now and then. Topics that are locked are left
    to the next one.
    """
    pending = Pending.objects.using(database()).filter(kind__in=NUMBERED)
    old = pending.filter(created_at__lt=Now() - timedelta(seconds=SWEEP_SECONDS))
    found = list(old.order_by("pk").values_list("topic", "room_id")[:SWEPT_AT_ONCE])
    topics = {topic for topic, _ in found if topic is not None}
    rooms = {room_id for _, room_id in found if room_id is not None}
    kinds = ((topic_numbering.number, topics), (room_numbering.number, rooms))
    return attempt_each(partial(_number_apart, number, names) for number, names in kinds)


def _number_apart(number: Callable[..., int], names: set[Any]) -> int:
    """Number what is not locked; if that fails, each log alone."""
    try:
        return number(names, skip_locked=True)
    except Exception as error:
        if len(names) < 2 or is_fault(error):
            raise
    # A row that this version cannot decode stops its log only.
    return attempt_each(partial(number, {name}, skip_locked=True) for name in sorted(names))


def _number_after_commit(alias: str, topics: Iterable[str], rooms: Iterable[int]) -> Waiting:
    connection = connections[alias]
    waiting = _waiting.get(connection)
    if waiting is None or waiting.is_done or not will_run(connection, waiting.number):
        # The last transaction was rolled back; or its hooks run now, and keep theirs.
        waiting = _waiting[connection] = Waiting(alias)
    waiting.topics.update(topics)
    waiting.rooms.update(rooms)
    if connection.in_atomic_block:
        # For each publish: a hook of a savepoint that is rolled back never runs.
        transaction.on_commit(waiting.number, using=alias, robust=True)
    return waiting


def _number(topics: frozenset[str], rooms: frozenset[int]) -> None:
    """Number what is committed: by the engine of this process, or by its sequencer."""
    if _hand_over(topics, rooms):
        return
    try:
        sequencer.number(topics, rooms)
        if sequencer.is_sweep_due():
            sweep()  # there may be no pulse, if no server process runs
    except Exception as error:  # it is committed: a pulse numbers it, or a later call here
        logger.warning("published entries wait for their position: %r", error)


def _hand_over(topics: frozenset[str], rooms: frozenset[int]) -> bool:
    """Return whether the engine of this process numbers what was published."""
    answers = entries_pending.send_robust(None, topics=topics, rooms=rooms)
    return any(answer is True for _, answer in answers)
